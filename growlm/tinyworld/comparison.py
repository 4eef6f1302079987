"""Comparison chains: who is taller than whom, told in any order and direction."""

from dataclasses import dataclass
from itertools import pairwise

from growlm.tinyworld.cast import Cast
from growlm.tinyworld.problem import Problem


@dataclass(frozen=True)
class Dimension:
    """Something in which people differ.

    Args:
        adjective: the adjective.
        more: its comparative.
        most: its superlative.
    """

    adjective: str
    more: str
    most: str


DIMENSIONS = (
    Dimension("tall", "taller", "tallest"),
    Dimension("fast", "faster", "fastest"),
    Dimension("strong", "stronger", "strongest"),
    Dimension("big", "bigger", "biggest"),
)


@dataclass(frozen=True)
class Chain:
    """People in the order of a dimension.

    Args:
        dimension: the dimension.
        names: the people, the most first.
        facts: sentences from which the order follows.
    """

    dimension: Dimension
    names: tuple[str, ...]
    facts: tuple[str, ...]


def draw_chain(cast: Cast, names: list[str]) -> Chain:
    """Puts people in an order and tells it by comparing neighbors, in a random order and direction.

    Args:
        cast: for its chance.
        names: the people.

    Returns:
        The chain.
    """
    dice = cast.dice
    dimension, order = dice.pick(DIMENSIONS), dice.shuffled(names)
    facts = []
    for first, second in pairwise(order):
        if dice.chance(0.5):
            facts.append(f"{first} is {dimension.more} than {second}.")
        else:
            facts.append(f"{second} is not as {dimension.adjective} as {first}.")
    return Chain(dimension, tuple(order), tuple(dice.shuffled(facts)))


def ask_most(chain: Chain) -> Problem:
    """Asks who is first in the order."""
    most = chain.dimension.most
    choices = tuple(f"{name} is the {most}" for name in chain.names)
    return Problem(chain.facts, f"Who is the {most}?", f"{choices[0]}.", choices[0], choices)


def ask_pair(cast: Cast, chain: Chain) -> Problem:
    """Asks which of two is more, neighbors or not."""
    first, second = sorted(cast.dice.some(range(len(chain.names)), 2))
    names = cast.dice.shuffled((chain.names[first], chain.names[second]))
    more = chain.dimension.more
    wanted = f"{more} one is {chain.names[first]}"
    other = f"{more} one is {chain.names[second]}"
    return Problem(chain.facts, f"Who is {more}, {names[0]} or {names[1]}?", f"The {wanted}.", wanted, (wanted, other))
