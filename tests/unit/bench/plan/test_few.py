"""Phases with few examples: which skills, how many examples, and where their cells are."""

from pathlib import Path

import pytest

from growlm.bench.plan.few import few_folder, few_folders, few_stream, read_counts
from growlm.bench.plan.stream import Stream, StreamSkill, read_stream
from growlm.errors import GrowlmError


def test_every_skill_has_as_many_examples_and_nothing_is_composed():
    whole = read_stream("five-skills")
    few = few_stream(whole, 50)
    assert {name: entry.options for name, entry in few.skills.items()} == {
        name: {"difficulty": 0, "num_train": 50} for name in whole.skills
    }
    assert (few.orders, few.phase, few.composites) == (whole.orders, whole.phase, {})


def test_a_skill_that_cannot_have_fewer_is_named():
    stream = Stream("own", {"mine": StreamSkill("jsonl", {})}, {"1": ("mine",)}, {"steps": 1}, {})
    with pytest.raises(GrowlmError, match=r"an option num_train, which 'mine' \(jsonl\) has not"):
        few_stream(stream, 50)


@pytest.mark.parametrize("words", ["", "0", "50,50", "200,50", "fifty", "50,"])
def test_wrong_numbers_are_refused(words: str):
    with pytest.raises(GrowlmError, match="give rising whole numbers from 1 up joined by commas"):
        read_counts(words)


def test_folders_are_found_in_the_order_of_their_numbers(tmp_path: Path):
    for count in read_counts("50,200,1000"):
        few_folder(tmp_path, count).mkdir()
    (tmp_path / "few-words").mkdir()
    assert [count for count, _ in few_folders(tmp_path)] == [50, 200, 1000]
