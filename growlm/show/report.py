"""What is printed when a phase has ended: samples before and after, retention, and the proof line."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from growlm.data.example import Example, Message
from growlm.errors import GrowlmError
from growlm.manifest.card import score_rows, score_titles
from growlm.manifest.path import format_path
from growlm.manifest.recorded_skill import recorded_skill
from growlm.manifest.records import ModuleRecord
from growlm.metrics.references import references
from growlm.metrics.scoring import generate_answers
from growlm.show.beside import reference_rows
from growlm.skills.metric import OF_MESSAGES
from growlm.skills.skill import Skill
from growlm.terminal import counted, safe_console

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack
    from growlm.train.result import Grown

_NUM_SAMPLES = 3
_NUM_LOOKED_AT = 100  # of the test examples, for samples that differ


def print_grown(grown: "Grown", console: Console | None = None) -> None:
    """Print what a phase left behind.

    Args:
        grown: the phase's result.
        console: where to; None: standard output.
    """
    # a pipe has no width; wide enough there that no number is broken over lines
    console = console or safe_console(soft_wrap=True, width=None if sys.stdout.isatty() else 120)
    record = grown.record
    if grown.already_there:
        console.print(f"{record.name!r} is grown already with these settings; nothing was done")
    console.print()
    console.print(_samples(grown.stack, record))
    console.print(_scores(grown))
    for text in _beside(grown.record):
        console.print(text)
    console.print(
        f"frozen: {grown.frozen_tensors} tensors, unchanged (sha256 {grown.frozen_digest[:16]}…)", style="bold green"
    )
    console.print(
        f"module {record.name!r}: {record.parameters:,} parameters on {format_path(record.parents)}, "
        f"{counted(record.cost['steps'], 'step')}, {counted(record.cost['tokens'], 'token')}, "
        f"{record.cost['seconds']} s"
    )


def _scores(grown: "Grown") -> Table:
    table = Table(title="scores on held-out examples")
    for title in ("skill", "score", *score_titles(grown.record)):
        table.add_column(title, overflow="fold")
    for row in score_rows(grown.record):
        table.add_row(*row)
    return table


def _beside(record: ModuleRecord) -> Iterator[str]:
    """Yield what the new skill's share of right answers is compared with, if it is one."""
    own = record.scores.get(record.name, {}).get("oracle")
    if own is None or own["metric"] not in OF_MESSAGES:
        return
    try:
        known = references(recorded_skill(record), limit=own["count"])
    except GrowlmError:  # grown by somebody else
        return
    if known is not None:
        yield f"{record.name}: " + "; ".join(
            f"{name} {value}" for name, value in reference_rows(own["value"], own["count"], known)
        )


def _samples(stack: "ModuleStack", record: ModuleRecord) -> Group:
    try:
        skill = recorded_skill(record)
    except GrowlmError:  # grown by somebody else
        return Group()
    prompts = list(islice(_distinct_prompts(skill), _NUM_SAMPLES))
    with stack.active():
        before = generate_answers(stack, prompts, max_new_tokens=48)
    with stack.active(*stack.path_of(record.name)):
        after = generate_answers(stack, prompts, max_new_tokens=48)
    lines: list[Text] = []
    for prompt, old, new in zip(prompts, before, after, strict=True):
        asked = prompt.messages[-1].content if prompt.messages else str(prompt.prompt)
        lines.append(Text.assemble(("asked   ", "bold"), " ".join(asked.split())))
        lines.append(Text.assemble(("before  ", "bold red"), " ".join(old.split())))
        lines.append(Text.assemble(("after   ", "bold green"), " ".join(new.split())))
        lines.append(Text())
    return Group(*lines)


def _distinct_prompts(skill: Skill) -> Iterator[Example]:
    seen: set[tuple[str | None, tuple[Message, ...]]] = set()
    for example in islice(skill.examples("test"), _NUM_LOOKED_AT):
        prompt = _first_prompt(example)
        if prompt is not None and (text := (prompt.prompt, prompt.messages)) not in seen:
            seen.add(text)
            yield prompt


def _first_prompt(example: Example) -> Example | None:
    """Return an example up to the first answer; plain text has none."""
    if example.prompt is not None:
        return replace(example, completion=None)
    for index, message in enumerate(example.messages):
        if message.role == "assistant" and index:
            return replace(example, messages=example.messages[:index])
    return None
