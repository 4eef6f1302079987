"""Conversations of several turns with a stack whose router chooses the path of every turn: does anything go wrong?

``python benchmarks/conversations.py --stack checkpoints/stack``: two thousand conversations of five turns, each turn of
a skill drawn from those of the stack (``chat`` continues the one before), greedy decoding, as ``growlm chat`` answers.
Run again, it resumes. Counted are crashes, answers that the limit of tokens breaks off (stuck), answers that
were ended because they only repeated themselves (looped), and empty answers, by the skill asked for and by the path
taken; a few of them are kept to be read. The exit status is 1 if there are any. Counted, too, are those that were near
the limit and ended with their sentence (shortened).
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import auto_cli

from growlm.data.encode import encode_prompt, stop_ids
from growlm.data.example import Example, Message
from growlm.errors import GrowlmError
from growlm.files import read_json, write_json
from growlm.manifest.path import format_path
from growlm.metrics.greedy import greedy_tokens
from growlm.registry import skills
from growlm.stack.stack import ModuleStack
from growlm.stack.stopping import ends_sentence, in_loop
from growlm.tinyworld.dice import Dice

KEPT = 40
MOST_EXAMPLES = 500
WRONG = ("stuck", "looped", "empty", "crashed")
COUNTED = (*WRONG, "shortened")


class Asking:
    """Draws what the users say.

    Args:
        names: the skills by module.
        seed: seed of the draws.
    """

    def __init__(self, stack: ModuleStack, seed: int) -> None:
        self.seed = seed
        self.said: dict[str, list[list[str]]] = {}
        for record in stack.manifest.modules:
            options = dict(record.skill["options"])
            if "num_test" in skills.options(record.skill["name"]):
                options["num_test"] = MOST_EXAMPLES
            skill = skills.build(record.skill["name"], options)
            examples = [example.messages for example in skill.examples("test") if example.messages]
            if not examples:
                raise GrowlmError(
                    f"skill {record.name!r} of the stack is not a conversation: leave it out of the stack"
                )
            self.said[record.name] = [[m.content for m in messages if m.role == "user"] for messages in examples]

    def plan(self, number: int, num_turns: int) -> list[tuple[str, str]]:
        """Return, for each turn of a conversation, the skill and what the user says."""
        dice = Dice(self.seed, "conversations", number)
        own = {name: iter(dice.pick(said)) for name, said in self.said.items()}
        turns: list[tuple[str, str]] = []
        while len(turns) < num_turns:
            name = dice.pick(sorted(self.said))
            text = next(own[name], None)
            if text is None:  # that example has been said to its end: another one
                own[name] = iter(dice.pick(self.said[name]))
                text = next(own[name])
            turns.append((name, text))
        return turns


def main(
    stack: Path = Path("checkpoints/stack"),
    base: str | None = None,
    number: int = 2_000,
    turns: int = 5,
    max_new_tokens: int = 200,
    batch_size: int = 50,
    seed: int = 0,
    dtype: Literal["float32", "bfloat16"] = "float32",
    device: str = "cpu",
    out: Path = Path("results/conversations.json"),
) -> None:
    """Hold the conversations, write what was counted, and print it.

    Args:
        stack: folder of a stack with a router.
        base: where the base is now, if not where the manifest says.
        number: how many conversations.
        turns: turns of each.
        max_new_tokens: greatest number of tokens of an answer; one that reaches it is stuck.
        batch_size: conversations that are held side by side.
        seed: seed of what the users say.
        dtype: what the weights are held in; bfloat16 is faster where the machine multiplies such matrices itself.
        device: where the stack runs, such as ``cuda``.
        out: file of the result, which a later run goes on from.
    """
    loaded = ModuleStack.from_pretrained(stack, base=base, dtype=getattr(torch, dtype)).to(device)  # type: ignore[arg-type]
    if loaded.router is None:
        raise GrowlmError(f"{stack} has no router: grow its modules with --router ridge")
    asking = Asking(loaded, seed)
    settings = {
        "modules": {record.name: record.digest for record in loaded.manifest.modules},
        **{"turns": turns, "max_new_tokens": max_new_tokens, "batch_size": batch_size, "seed": seed, "dtype": dtype},
    }
    result: dict[str, Any] = read_json(out) if out.exists() else {"settings": settings, "held": 0, "counts": {}}
    if result["settings"] != settings:
        raise GrowlmError(f"{out} was made with other settings or another stack: give another --out")
    result.setdefault("kept", [])
    out.parent.mkdir(parents=True, exist_ok=True)
    while result["held"] < number:
        numbers = range(result["held"], min(number, result["held"] + batch_size))
        hold(loaded, [asking.plan(one, turns) for one in numbers], max_new_tokens, result)
        result["held"] = numbers.stop
        write_json(out, result)
        sys.stderr.write(f"{result['held']}/{number} conversations, {total(result, *WRONG)} answers went wrong\n")
    sys.stdout.write(report(result))
    sys.exit(1 if total(result, *WRONG) else 0)


def hold(
    stack: ModuleStack, plans: Sequence[list[tuple[str, str]]], max_new_tokens: int, result: dict[str, Any]
) -> None:
    """Hold conversations side by side, and add to the counts."""
    talks: list[list[Message]] = [[] for _ in plans]
    for turn in range(len(plans[0])):
        for talk, plan in zip(talks, plans, strict=True):
            talk.append(Message("user", plan[turn][1]))
        prompts = [fitting(stack, talk, max_new_tokens) for talk in talks]
        try:
            answers = answer(stack, prompts, max_new_tokens)
        except Exception as error:  # whatever it is: this is what is being counted
            for talk, plan in zip(talks, plans, strict=True):
                count(result, plan[turn][0], "?", ["crashed"], talk, repr(error))
            return
        for talk, plan, (path, text, counted) in zip(talks, plans, answers, strict=True):
            talk.append(Message("assistant", text))
            count(result, plan[turn][0], path, counted, talk, text)


def fitting(stack: ModuleStack, talk: list[Message], max_new_tokens: int) -> list[int]:
    """Encode a conversation; the oldest turns leave the context, as in ``growlm chat``."""
    asked = list(talk)
    room = stack.context_length - max_new_tokens
    while len(ids := encode_prompt(Example("talk", messages=tuple(asked)), stack.tokenizer)) > room and len(asked) > 2:
        asked = asked[2:]
    return ids[-room:]


def answer(stack: ModuleStack, prompts: Sequence[list[int]], max_new_tokens: int) -> list[tuple[str, str, list[str]]]:
    """Answer prompts, each by the path that the router chooses.

    Args:
        stack: the stack.
        prompts: the prompts' tokens.
        max_new_tokens: greatest number of tokens of an answer.

    Returns:
        For each, the path, the answer, and what is to be counted of it.
    """
    paths = stack.choose_paths(prompts)
    answers: dict[int, tuple[str, str, list[str]]] = {}
    for path in sorted(set(paths)):
        rows = [row for row, chosen in enumerate(paths) if chosen == path]
        with stack.active(*path), stack.frozen_merged():
            new_tokens = greedy_tokens(stack, [prompts[row] for row in rows], max_new_tokens, in_talk=True)
        for row, tokens in zip(rows, new_tokens, strict=True):
            answers[row] = (format_path(path), *decoded(stack, tokens))
    return [answers[row] for row in range(len(prompts))]


def decoded(stack: ModuleStack, tokens: list[int]) -> tuple[str, list[str]]:
    """Decode the new tokens of an answer; return its text and what is to be counted of it."""
    text = stack.tokenizer.decode(tokens, skip_special_tokens=True).strip()
    counted = [] if text else ["empty"]
    if not any(stop in tokens for stop in stop_ids(stack.tokenizer)):
        said = [token for token in tokens if token != stack.pad_id]
        how = "looped" if in_loop(torch.tensor([said])) else "shortened" if ends_sentence(text) else "stuck"
        counted = [how, *counted]
    return text, counted


def count(result: dict[str, Any], skill: str, path: str, counted: list[str], talk: list[Message], text: str) -> None:
    """Add an answer to the counts of its skill and path."""
    counts = result["counts"].setdefault(skill, {}).setdefault(path, dict.fromkeys(("answers", *COUNTED), 0))
    for what in ("answers", *counted):
        counts[what] += 1
    if counted and len(result["kept"]) < KEPT:
        asked = [message.content for message in talk if message.role == "user"]
        result["kept"].append({"skill": skill, "path": path, "counted": counted, "asked": asked, "answer": text})


def total(result: dict[str, Any], *what: str) -> int:
    """Sum counts over skills and paths."""
    return sum(counts[one] for paths in result["counts"].values() for counts in paths.values() for one in what)


def report(result: dict[str, Any]) -> str:
    """Write the counts as lines."""
    lines = [f"{result['held']} conversations, {total(result, 'answers')} answers"]
    lines += [f"{what}: {total(result, what)}" for what in COUNTED]
    for skill, paths in sorted(result["counts"].items()):
        asked = sum(counts["answers"] for counts in paths.values())
        for path, counts in sorted(paths.items()):
            counted = "".join(f", {what} {counts[what]}" for what in COUNTED if counts[what])
            lines.append(f"{skill} by {path}: {100 * counts['answers'] / asked:.1f} %{counted}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    auto_cli(main)
