"""Errors that the user can correct."""

import pytest

from growlm.errors import GrowlmError, outside_error


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
