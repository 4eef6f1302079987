"""Composite of memory and arithmetic: both questions at once, or how many somebody has after things changed hands."""

from growlm.data.example import Message
from growlm.skills._procedural import Composite
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.ledger import memory_and_sum
from growlm.tinyworld.problem import turn


class MemoryArithmetic(Composite):
    """Composite of memory and arithmetic: both questions at once, or how many somebody has after things changed hands.

    Three quarters of the examples ask a question of each skill, and want both answers. In the others, several people
    have two sorts of things and give some to each other: the number asked for is never told, so that memory alone
    cannot look it up, and arithmetic alone never learns to pick a person's numbers out of others'. For testing only.

    Args:
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1, as that of its parts.
    """

    parts = ("memory", "arithmetic")

    def make(self, cast: Cast) -> list[Message]:
        """Makes one example."""
        return turn(memory_and_sum(cast, self.difficulty))
