"""Turns that a child might say, written by hand: ``python benchmarks/free_turns.py --stack checkpoints/stack``.

The turns and the rules that judge the replies are in ``tests/data/free_turns.yaml``. Prints, by rule and in all, how
many replies are sensible, with the 95 % interval; ``--show true`` prints every reply, and ``--out results/skills-mini``
writes all of it to ``free_turns.json`` in that folder.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import auto_cli

from growlm.data.example import Example, Message
from growlm.files import write_json
from growlm.manifest.path import parse_path
from growlm.metrics.references import interval
from growlm.metrics.scoring import generate_answers
from growlm.stack.stack import ModuleStack

TURNS = Path(__file__).parents[1] / "tests" / "data" / "free_turns.yaml"
_LONGEST, _SHORTEST_STORY = 60, 20


def read_turns(content: Mapping[str, Any]) -> Iterator[tuple[str, str, Message]]:
    """Yield each turn's rule, the turn, and a message that accepts the replies which hold what the rule asks for."""
    for rule, texts in content["turns"].items():
        for text in texts:
            yield rule, text, Message("assistant", "word " * 100, (tuple(content["rules"][rule]),))
    for story in content["stories"]:
        yield "story", story["say"], Message("assistant", "word " * 100, tuple((word,) for word in story["about"]))


def sensible(rule: str, message: Message, reply: str) -> bool:
    """Return whether a reply is sensible by its rule."""
    length = len(reply.split())
    fits = length >= _SHORTEST_STORY if rule == "story" else 0 < length <= _LONGEST
    return fits and message.accepts(reply)


def main(
    stack: Path = Path("checkpoints/stack"),
    path: str = "chat",
    base: str | None = None,
    show: bool = False,
    out: Path | None = None,
) -> None:
    """Judge the replies of one path.

    Args:
        stack: folder of the stack.
        path: the modules that reply.
        base: where the base is now, if not where the manifest says.
        show: print every turn with its reply.
        out: folder of results.
    """
    turns = list(read_turns(yaml.safe_load(TURNS.read_text(encoding="utf-8"))))
    loaded = ModuleStack.from_pretrained(stack, base=base)
    prompts = [Example(text, messages=(Message("user", text),)) for _, text, _ in turns]
    with loaded.active(*parse_path(path, loaded.parents())):
        replies = generate_answers(loaded, prompts)
    right: dict[str, list[bool]] = {}
    judged_turns: list[dict[str, object]] = []
    for (rule, text, message), reply in zip(turns, replies, strict=True):
        good = sensible(rule, message, reply)
        right.setdefault(rule, []).append(good)
        judged_turns.append({"rule": rule, "turn": text, "reply": reply, "sensible": good})
        if show:
            sys.stdout.write(f"{'+' if good else '-'} {rule}: {text} -> {reply}\n")
    for rule, judged in right.items():
        sys.stdout.write(f"{rule}: {sum(judged)} of {len(judged)}\n")
    total = [good for judged in right.values() for good in judged]
    low, high = interval(sum(total) / len(total), len(total))
    if out:
        by_rule = {rule: [sum(judged), len(judged)] for rule, judged in right.items()}
        shares = {"share": sum(total) / len(total), "interval": [low, high], "by_rule": by_rule}
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "free_turns.json", {"stack": str(stack), "path": path, **shares, "turns": judged_turns})
    sys.stdout.write(f"sensible: {100 * sum(total) / len(total):.1f} % ({100 * low:.1f} to {100 * high:.1f})\n")


if __name__ == "__main__":
    auto_cli(main)
