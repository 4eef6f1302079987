"""Composite of chat and arithmetic: a sum from a user who has told their name."""

from growlm.data.example import Message
from growlm.skills._procedural import Composite
from growlm.tinyworld.arithmetic import arithmetic_problem
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.composed import in_conversation


class ChatArithmetic(Composite):
    """Composite of chat and arithmetic: a sum from a user who has told their name.

    The answer has to be right and, as in chat, to call the user by name. Arithmetic alone never learns of a user's
    name; chat alone never learns to add. For testing only.

    Args:
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1, as that of its parts.
    """

    parts = ("chat", "arithmetic")

    def make(self, cast: Cast) -> list[Message]:
        """Makes one example."""
        return in_conversation(cast, arithmetic_problem(cast, self.difficulty), self.difficulty)
