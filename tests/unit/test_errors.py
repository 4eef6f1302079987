"""Errors that the user can correct."""

from growlm.errors import GrowlmError


def test_a_message_leaves_out_the_middle_of_what_it_quotes() -> None:
    assert str(GrowlmError("short")) == "short"
    said = str(GrowlmError(f"score: {'x' * 10_000} is not a number"))
    assert said.startswith("score: xxx")
    assert said.endswith("xxx is not a number")
    assert len(said) < 1_100
