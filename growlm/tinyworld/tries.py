"""Drawing again until something fits, but not for ever."""

from collections.abc import Callable
from typing import TypeVar

from growlm.errors import GrowlmError

T = TypeVar("T")

MOST_TRIES = 10_000


def first_fitting(wanted: str, draw: Callable[[int], T | None]) -> T:
    """Draws until something fits.

    Args:
        wanted: what is drawn, for the message.
        draw: draws; it is given the number of the try, from 0, and gives None if what it drew does not fit.

    Returns:
        The first that fits.

    Raises:
        GrowlmError: after so many tries that there is hardly anything that fits.
    """
    for attempt in range(MOST_TRIES):
        drawn = draw(attempt)
        if drawn is not None:
            return drawn
    raise GrowlmError(f"no {wanted} in {MOST_TRIES:,} draws: give another difficulty or seed, or fewer examples")
