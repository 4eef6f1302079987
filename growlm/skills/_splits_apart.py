"""Keeping the splits of a user's data apart: an example that several have stays in one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from growlm.data.example import Example
from growlm.errors import GrowlmError


def apart(
    parts: Mapping[Any, Sequence[Example]], where: object, may_be_empty: Sequence[str] = ()
) -> tuple[dict[str, list[Example]], tuple[str, ...]]:
    """Leave each example in one split only: in the test rather than in validation, there rather than in training.

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
    """Return what makes an example the same as another: everything but its name."""
    further = [example.tools, *(message.extra for message in example.messages)]
    # where there is nothing further it is as before there was any: held-out shares stay what they were
    return (repr(replace(example, name="")) + (repr(further) if any(further) else "")).encode()


def hold_out(parts: dict[Any, list[Example]], share: float, path: object) -> None:
    """Fill the splits that are not given with shares of the training rows, at least one row each.

    Args:
        parts: the examples by split; what is missing of validation and test is added, and taken from training.
        share: how much of training goes to each that is missing.
        path: what the examples come from, for messages.

    Raises:
        GrowlmError: if there are too few.
    """
    missing = [name for name in ("validation", "test") if name not in parts]
    placed = [(_position(example), example) for example in parts["train"]]
    positions = sorted({position for position, _ in placed})
    if missing and len(positions) <= len(missing):
        raise GrowlmError(
            f"{path}: too few different rows to hold some out for {' and '.join(missing)}; give more rows or files"
        )
    low = -1.0
    for number, name in enumerate(missing):
        nearest = next(position for position in positions if position > low)
        leaving_some = positions[number - len(missing) - 1]
        high = min(max(share * (number + 1), nearest), leaving_some)
        parts[name] = [example for position, example in placed if low < position <= high]
        low = high
    parts["train"] = [example for position, example in placed if position > low]


def _position(example: Example) -> float:
    """Return a number from 0 to 1 that is a function of the content alone."""
    return int.from_bytes(blake2b(content(example), digest_size=8).digest()) / 2**64
