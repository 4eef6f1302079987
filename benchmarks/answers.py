"""Whole answers beside what they have to beat: ``python benchmarks/answers.py --stack checkpoints/stack``.

For every module whose skill asks questions, on its own path: the share of right answers to held-out questions with its
95 % interval, the same by sort of question, and the references: a drawn choice, the best constant answer, the skill's
rule without state, the question-blind counter. A score whose interval reaches down to the best is "not learned".
"""

import sys
from collections import defaultdict
from pathlib import Path

from jsonargparse import auto_cli

from growlm.data.example import Example, Message, Split
from growlm.metrics.references import References, interval, judge, learned, references
from growlm.metrics.scoring import generate_answers
from growlm.registry import skills
from growlm.skills.metric import OF_MESSAGES
from growlm.skills.skill import Skill
from growlm.stack.stack import ModuleStack


def scored_turns(skill: Skill, split: Split) -> list[tuple[Example, Message]]:
    """List the turns that are scored: the conversation before each, and the turn."""
    return [
        (Example(example.name, messages=example.messages[:index]), message)
        for example in skill.examples(split)
        for index, message in enumerate(example.messages)
        if message.expected
    ]


def line(label: str, right: list[bool]) -> str:
    """Return a share of right answers with its interval."""
    share = sum(right) / len(right)
    low, high = interval(share, len(right))
    return f"{label}: {100 * share:.1f} % ({100 * low:.1f} to {100 * high:.1f}) of {len(right)}\n"


def beside(known: References) -> str:
    """Return the references as text."""
    values = {"drawn": known.drawn, "constant": known.constant, "stateless": known.stateless, "blind": known.blind}
    return ", ".join(f"{name} {100 * value:.1f} %" for name, value in values.items() if value is not None)


def main(
    stack: Path = Path("checkpoints/stack"),
    base: str | None = None,
    module: str | None = None,
    split: Split = "test",
    count: int = 500,
    show: int = 0,
) -> None:
    """Score the modules of a stack by whole answers.

    Args:
        stack: folder of the stack.
        base: where the base is now, if not where the manifest says.
        module: only this one.
        split: ``validation`` to choose settings by, ``test`` to report.
        count: examples of the split.
        show: print this many questions with the answer and what was expected.
    """
    loaded = ModuleStack.from_pretrained(stack, base=base)
    for record in loaded.manifest.modules:
        if module not in (None, record.name):
            continue
        skill = skills.build(record.skill["name"], {**record.skill["options"], f"num_{split}": count})
        known = references(skill, split)
        if skill.metric not in OF_MESSAGES or known is None:
            continue
        turns = scored_turns(skill, split)
        with loaded.active(*record.path), loaded.frozen_merged():
            replies = generate_answers(loaded, [prompt for prompt, _ in turns], skill.max_answer_tokens)
        by_sort: dict[str, list[bool]] = defaultdict(list)
        for number, ((prompt, message), reply) in enumerate(zip(turns, replies, strict=True)):
            right = judge(skill, message, reply)
            by_sort[message.sort].append(right)
            if number < show:
                asked = prompt.messages[-1].content
                sys.stdout.write(f"{'+' if right else '-'} {asked}\n    {reply}\n    expected: {message.content}\n")
        everything = [right for sort in by_sort.values() for right in sort]
        sys.stdout.write(line(record.name, everything))
        for sort in sorted(by_sort):
            if sort:
                sys.stdout.write(f"  {line(sort, by_sort[sort])}")
        verdict = "" if learned(sum(everything) / len(everything), len(everything), known) else "; not learned"
        sys.stdout.write(f"  to beat: {beside(known)}{verdict}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    auto_cli(main)
