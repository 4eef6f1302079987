"""Seeded chance that gives the same draws on every Python version and platform."""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from growlm.errors import GrowlmError

T = TypeVar("T")


class Dice:
    """A source of draws, seeded by words and numbers.

    Only ``random.Random.random`` is drawn from: of Python's generator that method alone is promised to give the same
    sequence for the same seed in every later version.

    Args:
        seed: what the draws are a function of, such as ``(0, "chat", "train", 17)``.
    """

    def __init__(self, *seed: object) -> None:
        self._next = random.Random("/".join(map(str, seed))).random

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self._next() < probability

    def number(self, low: int, high: int) -> int:
        """Draw a whole number between two, both included."""
        return low + int(self._next() * (high - low + 1))

    def pick(self, items: Sequence[T]) -> T:
        """Draw one of the items."""
        return items[int(self._next() * len(items))]

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """Draw a number of different items, in a random order."""
        rest = list(items)
        return [rest.pop(int(self._next() * len(rest))) for _ in range(count)]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return the items in a random order."""
        return self.some(items, len(items))


MOST_TRIES = 10_000


def first_fitting(wanted: str, draw: Callable[[int], T | None]) -> T:
    """Draw until something fits.

    Args:
        wanted: what is drawn, for the message.
        draw: draws; it is given the number of the try, from 0, and gives None if what it drew does not fit.

    Returns:
        The first that fits.

    Raises:
        GrowlmError: after ``MOST_TRIES`` draws: hardly anything fits.
    """
    for attempt in range(MOST_TRIES):
        drawn = draw(attempt)
        if drawn is not None:
            return drawn
    raise GrowlmError(f"no {wanted} in {MOST_TRIES:,} draws: give another difficulty or seed, or fewer examples")
