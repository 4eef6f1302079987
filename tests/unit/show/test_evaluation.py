"""Scoring a stack from the outside."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from growlm.errors import GrowlmError
from growlm.metrics.references import References
from growlm.metrics.routed import RoutedScore
from growlm.metrics.scoring import Answer, Score, score
from growlm.registry import skills
from growlm.show import evaluation
from growlm.show.evaluation import Result, evaluate, evaluation_table

NewStack = Callable[..., Any]


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[str, ...], str, int | None]]:
    """Replace scoring by a note of what was to be scored."""
    calls: list[tuple[str, tuple[str, ...], str, int | None]] = []

    def note(stack: Any, skill: Any, split: str, limit: int | None) -> tuple[Score, tuple[Answer, ...]]:
        calls.append((type(skill).__name__, stack.path, split, limit))
        return Score("loss", float(len(calls)), float(len(calls)), 3), ()

    monkeypatch.setattr(evaluation, "score_with_answers", note)
    return calls


def summary(results: list[Result]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(result.skill, result.mode, result.path) for result in results]


def test_every_skill_by_every_path_each_once(new_stack: NewStack, scored: list[Any]) -> None:
    stack = new_stack(modules=("first", "second"))
    results = evaluate(stack, limit=7)
    assert summary(results) == [
        ("stories", "base", ()),
        ("stories", "all", ("first", "second")),
        ("first", "base", ()),
        ("first", "oracle", ("first",)),
        ("first", "all", ("first", "second")),
        ("second", "base", ()),
        ("second", "oracle", ("first", "second")),
        ("second", "all", ("first", "second")),
    ]
    assert results[-1].score == results[-2].score  # the same path is scored once
    assert len(scored) == 7
    assert all(call[2:] == ("test", 7) for call in scored)
    assert stack.path == ("first", "second")


class GivenRouter:
    """A router that always chooses the first module."""

    name = "given"

    def choose(self, stack: Any, prompts: list[list[int]]) -> list[tuple[str, ...]]:
        return [("first",)] * len(prompts)


def test_a_router_adds_its_own_mode(new_stack: NewStack, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(f'{{"prompt": "{n}", "completion": "cat"}}\n' for n in range(9)))
    stack = new_stack(modules=("first", "second"))
    mine = {"name": "jsonl", "options": {"train": str(file)}}
    records = tuple(replace(record, skill=mine) for record in stack.manifest.modules)
    stack.manifest = replace(stack.manifest, modules=records)
    stack.router = GivenRouter()
    with pytest.raises(GrowlmError, match=r"'first' names data that were not given .* --trust-data true"):
        evaluate(stack, "first", limit=2)
    assert {result.skill for result in evaluate(stack, limit=1)} == {"stories"}
    results = {result.mode: result for result in evaluate(stack, "first", limit=2, trust_data=True)}
    assert list(results) == ["base", "oracle", "routed", "all"]
    routed = results["routed"]
    assert routed.path is None
    assert isinstance(routed.score, RoutedScore)
    assert routed.score.routing_accuracy == 1
    assert routed.score.loss == results["oracle"].score.loss
    assert (routed.score.value, routed.score.count) == (results["oracle"].score.value, results["oracle"].score.count)
    second = next(result for result in evaluate(stack, "second", limit=2, trust_data=True) if result.mode == "routed")
    assert second.score.routing_accuracy == 0  # type: ignore[attr-defined]
    console = Console(width=200, file=io.StringIO())
    console.print(evaluation_table([routed]))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for word in ("routed", "chosen", "routing accuracy ↑", "100.0 %", "first 100.0 %"):
        assert word in text
    other = next(result for result in evaluate(stack, str(file), limit=1) if result.mode == "routed")
    assert other.score.routing_accuracy is None  # type: ignore[attr-defined]
    assert "routing accuracy" not in str(evaluation_table([other]).columns[4]._cells)


def test_one_skill_on_one_path(new_stack: NewStack, scored: list[Any]) -> None:
    stack = new_stack(modules=("first", "second"))
    assert summary(evaluate(stack, "first", "first", split="validation")) == [("first", "path", ("first",))]
    assert scored == [("Chat", ("first",), "validation", None)]


def test_skills_that_the_stack_does_not_know(new_stack: NewStack, scored: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(f'{{"prompt": "{n}", "completion": "cat"}}\n' for n in range(9)))
    stories = tmp_path / "stories.txt"
    stories.write_text("x")
    stack = new_stack()
    assert summary(evaluate(stack, str(file))) == [("mine.jsonl", "base", ()), ("mine.jsonl", "all", ("first",))]
    assert summary(evaluate(stack, "stories", stories=str(stories)))[0] == ("stories", "base", ())
    assert summary(evaluate(stack, "arithmetic", "base")) == [("arithmetic", "path", ())]
    assert [call[0] for call in scored] == ["Jsonl", "Jsonl", "Stories", "Stories", "Arithmetic"]


def test_a_bare_stack(new_stack: NewStack, scored: list[Any]) -> None:
    assert summary(evaluate(new_stack(modules=()))) == [("stories", "base", ())]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"skill": "frist"}, "unknown skill 'frist': did you mean 'first'"),
        ({"skill": "caht"}, "unknown skill 'caht': did you mean 'chat'"),
        ({"skill": "none.jsonl"}, r"none\.jsonl is missing"),
        ({"skill": "first", "path": "secnod"}, "unknown module 'secnod': did you mean 'second'"),
        ({"skill": "first", "path": "second,third"}, "unknown module 'third'"),
        ({"split": "tset"}, "unknown split 'tset': did you mean 'test'"),
        ({"stories": "none.txt"}, r"none\.txt is missing"),
    ],
)
def test_wrong_requests(new_stack: NewStack, scored: list[Any], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(GrowlmError, match=message):
        evaluate(new_stack(modules=("first", "second")), **arguments)
    assert scored == []


def test_the_scores_are_those_of_the_path(new_stack: NewStack, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(f'{{"prompt": "{n}", "completion": "cat"}}\n' for n in range(99)))
    stack = new_stack()
    results = evaluate(stack, str(file), limit=2)
    for result in results:
        with stack.active(*result.path):
            assert score(stack, skills.build("jsonl", {"train": str(file)}), "test", 2) == result.score
    assert results[0].score.loss != results[1].score.loss


def test_the_table_holds_every_score() -> None:
    results = [
        Result("chat", "test", "oracle", ("first", "chat"), Score("contains", 0.625, 1.2345, 77)),
        Result("stories", "test", "base", (), Score("bits_per_byte", 0.123456789, 1.0, 9)),
    ]
    console = Console(width=200, file=io.StringIO())
    console.print(evaluation_table(results))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for written in ("62.5 %", "1.234", "0.123456789", "first+chat", "oracle", "77", "9", "base"):
        assert written in text


def test_the_table_tells_how_it_was_asked_and_what_was_cut() -> None:
    scores = [
        Score("label_match", 0.5, 1.0, 4, "candidates_per_token", 3),
        Score("label_match", 0.5, 1.0, 4),
    ]
    tables = [evaluation_table([Result("rte", "test", "base", (), score)]) for score in scores]
    cells = [dict(zip(*(table.columns[index].cells for index in (4, 5)), strict=True)) for table in tables]
    assert cells[0]["asked by"] == "candidates per token"
    assert cells[0]["prompts cut"] == "3"
    assert set(cells[0]) - set(cells[1]) == {"asked by", "prompts cut"}


def test_beside_a_share_of_right_answers_is_what_it_has_to_beat() -> None:
    known = References(0.25, 0.1, 0.5, 0.05)
    table = rendered(Result("memory", "test", "oracle", ("memory",), Score("final_answer", 0.52, 1.0, 100), known))
    assert "42.3 % to 61.5 %" in table
    assert "drawn 25.0 %, constant 10.0 %, stateless 50.0 %, question-blind 5.0 %" in table
    assert "not learned" in table, "the interval covers the stateless rule"
    assert "not learned" not in rendered(
        Result("memory", "test", "oracle", ("memory",), Score("final_answer", 0.9, 1.0, 100), known)
    )


def test_other_examples_than_those_of_the_record_are_named(
    new_stack: NewStack, scored: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    stack = new_stack()
    stack.manifest.modules[0].skill["test_digest"] = "0" * 64
    with caplog.at_level("WARNING", "growlm"):
        evaluate(stack, "first", "first")
    assert "first: the test examples of skill 'chat'" in caplog.text


def rendered(result: Result) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(evaluation_table([result]))
    return console.export_text()
