"""Errors that the user can correct."""

import pytest

from growlm.errors import GrowlmError, outside_error, unknown_name


def test_a_message_leaves_out_the_middle_of_what_it_quotes() -> None:
    assert str(GrowlmError("short")) == "short"
    said = str(GrowlmError(f"score: {'x' * 10_000} is not a number"))
    assert said.startswith("score: xxx")
    assert said.endswith("xxx is not a number")
    assert len(said) < 1_100


@pytest.mark.parametrize(
    "said",
    ["basic_ios::clear: iostream error", "[enforce fail] . unexpected pos 64 vs 0", "PytorchStreamWriter failed"],
)
def test_what_torch_says_of_a_full_disk_is_one_line(said: str) -> None:
    assert (outside_error(RuntimeError(said)) or "").endswith("is the disk full?")
    assert outside_error(RuntimeError("another")) is None


def test_of_very_many_names_the_nearest_alone_is_said() -> None:
    names = [f"task-{number}" for number in range(5_000)]
    assert str(unknown_name("task", "tusk-7", names)) == "unknown task 'tusk-7': did you mean 'task-7'? 5,000 known"
    assert str(unknown_name("task", "?", names)) == "unknown task '?': none of that name among 5,000 known"
    assert str(unknown_name("task", "b", ["a", "c"])) == "unknown task 'b': known: a, c"
