"""Answers kept beside a cell, and scores computed from them later."""

import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from growlm.bench.run.answers import ANSWERS_FILE, read_answers, rescored, write_answers
from growlm.bench.run.result import CellResult, read_cell
from growlm.data.example import Message
from growlm.errors import GrowlmError
from growlm.metrics.scoring import Answer

Make = Callable[..., CellResult]
GIVEN = [
    Answer("2 + 3?", Message("assistant", "It is 5.", (("5", "five"),), ("4", "5")), "it is five", 1.0),
    Answer("1 + 1?", Message("assistant", "2"), "2", 0.0),
]


def test_another_metric():
    assert [answer.score for answer in rescored(GIVEN, "exact_match")] == [0.0, 1.0]
    assert [answer.score for answer in rescored(GIVEN[:1], "contains")] == [1.0]
    assert [answer.score for answer in rescored(GIVEN[:1], "final_answer")] == [0.0]


def test_round_trip_beside_the_cell(make_cell: Make, tmp_path: Path):
    cell = make_cell(answers={"chat": {"routed": GIVEN, "all": GIVEN[:1]}, "chat_memory": {"routed": GIVEN}})
    cell.write(tmp_path / "cell.json")
    again = read_cell(tmp_path / "cell.json")
    assert again == cell
    other = again.rescored("exact_match")
    assert other.scores.modes["routed"][-1] == [0.5, None, None]
    assert other.scores.modes["all"][-1] == [0.0, None, None]
    assert other.scores.metrics["chat"] == "exact_match"
    assert other.composites == {"chat_memory": {"base": None, "routed": 0.5}}
    with pytest.raises(GrowlmError, match="cell grow, order 1, seed 0 keeps no answers"):
        make_cell().rescored("exact_match")


@pytest.mark.parametrize("content", [b"no xz", lzma.compress(b"{"), lzma.compress(b'{"skill": "a", "mode": "b"}')])
def test_damaged_answers_are_refused(tmp_path: Path, content: bytes):
    (tmp_path / ANSWERS_FILE).write_bytes(content)
    with pytest.raises(GrowlmError, match=r"answers\.jsonl\.xz is damaged"):
        read_answers(tmp_path / ANSWERS_FILE)
    write_answers(tmp_path / ANSWERS_FILE, {})
    assert read_answers(tmp_path / ANSWERS_FILE) == read_answers(tmp_path / "none") == {}


def test_settings_of_older_versions_are_read(make_cell: Make, tmp_path: Path):
    cell = make_cell()
    cell.settings["by_skill"] = {"chat": {}}
    cell.write(tmp_path / "cell.json")
    assert read_cell(tmp_path / "cell.json").settings["per_skill"] == {"chat": {}}
