"""Composite of memory and arithmetic: how many somebody has after things changed hands."""

from growlm.skills._procedural import Composite
from growlm.skills._skill import Message
from growlm.skills._tinyworld.arithmetic_problems import largest
from growlm.skills._tinyworld.cast import Cast
from growlm.skills._tinyworld.ledger import ledger_problem
from growlm.skills._tinyworld.problem import turn


class MemoryArithmetic(Composite):
    """Composite of memory and arithmetic: how many somebody has after things changed hands.

    Several people have two sorts of things and give some to each other. The number asked for is never told, so that
    memory alone cannot look it up; arithmetic alone never learns to pick a person's numbers out of others', nor of
    giving to somebody. For testing only.

    Args:
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1, as that of its parts.
    """

    parts = ("memory", "arithmetic")

    def make(self, cast: Cast) -> list[Message]:
        """Makes one example."""
        num_people, num_gifts = 2 + round(self.difficulty), cast.dice.number(1, 1 + round(2 * self.difficulty))
        return turn(ledger_problem(cast, largest(self.difficulty), num_people, num_gifts))
