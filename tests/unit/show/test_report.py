"""What is printed when a phase has ended."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from rich.console import Console

from growlm import registry
from growlm.data.example import Example, Message, Split
from growlm.manifest.recorded_skill import keep_data
from growlm.metrics.scoring import generate_answers
from growlm.show.report import print_grown
from growlm.skills.skill import Skill
from growlm.train.result import Grown

NewStack = Callable[..., Any]
COUNT = {"count": 4}
TALK = (Message("user", "hello"), Message("assistant", "yes"), Message("user", "Tom"), Message("assistant", "no"))
EXAMPLES = {
    "talk": [Example("a", messages=TALK), Example("again", messages=TALK), Example("b", messages=TALK[2:])],
    "rows": [Example("a", prompt="the cat", completion=" sat")],
    "text": [Example("a", text="the cat sat")],
}


class Sample(Skill):
    """Examples of one shape.

    Args:
        shape: which.
    """

    metric = "loss"

    def __init__(self, shape: str) -> None:
        self.shape = shape

    def examples(self, split: Split) -> Iterator[Example]:
        """Yield them, only for the test."""
        yield from EXAMPLES[self.shape] if split == "test" else []


class Point:
    """An entry point without a package around it."""

    name = "sample"

    def load(self) -> type:
        """Return the skill."""
        return Sample


@pytest.fixture
def report(new_stack: NewStack, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Print what a phase with examples of a shape left behind, its samples cut short."""
    few = partial(generate_answers, max_new_tokens=6)
    monkeypatch.setattr("growlm.show.report.generate_answers", lambda stack, prompts, **options: few(stack, prompts))
    monkeypatch.setattr(registry, "entry_points", lambda group: [Point()] if group == "growlm.skills" else [])

    def report(shape: str, already_there: bool = False) -> str:
        stack = new_stack()
        scores = {
            "first": {mode: {"metric": "loss", "value": loss, "loss": loss} | COUNT for mode, loss in LOSSES.items()}
        }
        skill = {"name": "sample", "options": {"shape": shape}}
        cost = {"steps": 1_234, "tokens": 56_789, "seconds": 9.5}
        record = replace(stack.manifest.modules[0], skill=skill, scores=scores, cost=cost)
        keep_data(record, skill["options"])
        console = Console(file=io.StringIO(), width=150)
        print_grown(Grown(stack, record, 41, "abcdef0123456789abcdef", {}, already_there), console)
        return console.file.getvalue()  # type: ignore[attr-defined]

    return report


LOSSES = {"base": 5.5, "oracle": 1.25, "all": 1.375}


def test_samples_scores_and_the_proof(report: Callable[..., str]) -> None:
    text = report("talk")
    assert [line.split()[1:] for line in text.splitlines() if line.startswith("asked")] == [["hello"], ["Tom"]]
    assert text.count("before") == text.count("after ") == 2
    assert all(written in text for written in ("5.500", "1.250", "1.375", "loss per token ↓"))
    assert "frozen: 41 tensors, unchanged (sha256 abcdef0123456789…)" in text
    assert "on base, 1,234 steps, 56,789 tokens, 9.5 s" in text
    assert "grown already" not in text


def test_rows_and_text(report: Callable[..., str]) -> None:
    assert "asked   the cat" in report("rows")
    assert "asked" not in report("text")


def test_a_phase_that_was_there_already(report: Callable[..., str]) -> None:
    assert report("rows", already_there=True).startswith("'first' is grown already with these settings")


def test_a_share_of_right_answers_is_shown_beside_what_it_has_to_beat(new_stack: NewStack) -> None:
    stack = new_stack()
    entry = {"metric": "final_answer", "value": 0.25, "loss": 1.0, "count": 4}
    skill = {"name": "memory", "options": {"num_train": 20, "num_test": 4}}
    record = replace(
        stack.manifest.modules[0],
        skill=skill,
        scores={"first": dict.fromkeys(LOSSES, entry)},
        cost={"steps": 1, "tokens": 2, "seconds": 3.0},
    )
    console = Console(file=io.StringIO(), width=300)
    print_grown(Grown(stack, record, 41, "abcdef0123456789abcdef", {}), console)
    line = next(line for line in console.file.getvalue().splitlines() if "to beat" in line)  # type: ignore[attr-defined]
    assert line.startswith("first: 95 % interval 4.6 % to 69.9 %; to beat drawn ")
    assert line.rstrip().endswith("; not learned (the interval reaches what is to beat)")
