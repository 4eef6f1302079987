"""Composite of chat, memory and arithmetic: how many somebody has, asked by a user who has told their name."""

from growlm.skills._procedural import Composite
from growlm.skills._skill import Message
from growlm.skills._tinyworld.arithmetic_problems import largest
from growlm.skills._tinyworld.cast import Cast
from growlm.skills._tinyworld.composed import in_conversation
from growlm.skills._tinyworld.ledger import ledger_problem


class ChatMemoryArithmetic(Composite):
    """Composite of chat, memory and arithmetic: how many somebody has, asked by a user who has told their name.

    The problem is that of ``memory_arithmetic``; the answer has to call the user by name, too. For testing only.

    Args:
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1, as that of its parts.
    """

    parts = ("chat", "memory", "arithmetic")

    def make(self, cast: Cast) -> list[Message]:
        """Makes one example."""
        num_people, num_gifts = 2 + round(self.difficulty), cast.dice.number(1, 1 + round(2 * self.difficulty))
        problem = ledger_problem(cast, largest(self.difficulty), num_people, num_gifts)
        return in_conversation(cast, problem, self.difficulty)
