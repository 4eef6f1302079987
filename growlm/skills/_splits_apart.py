"""Keeping the splits of a user's data apart: an example that stands in several stays in one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from growlm.errors import GrowlmError
from growlm.skills._skill import Example


def apart(
    parts: Mapping[Any, Sequence[Example]], where: object, may_be_empty: Sequence[str] = ()
) -> tuple[dict[str, list[Example]], tuple[str, ...]]:
    """Leaves each example in one split only: in the test rather than in validation, there rather than in training.

    Args:
        parts: the examples by split; all three.
        where: what the examples come from, for messages.
        may_be_empty: splits of which nothing need be left.

    Returns:
        The splits, and the names of the examples that were taken out of one.

    Raises:
        GrowlmError: if nothing is left of another split.
    """
    seen: set[bytes] = set()
    kept: dict[str, list[Example]] = {}
    left_out: list[str] = []
    for name in ("test", "validation", "train"):
        left_out += [example.name for example in parts[name] if content(example) in seen]
        kept[name] = [example for example in parts[name] if content(example) not in seen]
        seen.update(map(content, parts[name]))
        if not kept[name] and name not in may_be_empty:
            raise GrowlmError(f"{where}: nothing is left for {name}, all of it is in other splits; give other rows")
    return kept, tuple(left_out)


def content(example: Example) -> bytes:
    """Gives what makes an example the same as another: everything but its name."""
    return repr(replace(example, name="")).encode()
