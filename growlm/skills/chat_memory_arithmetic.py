"""Composite of chat, memory and arithmetic: a question of memory and a sum from a user who has told their name."""

from growlm.data.example import Message
from growlm.skills._procedural import Composite
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.composed import in_conversation
from growlm.tinyworld.ledger import memory_and_sum


class ChatMemoryArithmetic(Composite):
    """Composite of chat, memory and arithmetic: a question of memory and a sum from a user who has told their name.

    The problems are those of ``memory_arithmetic``; the answers have to call the user by name, too. For testing only.

    Args:
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1, as that of its parts.
    """

    parts = ("chat", "memory", "arithmetic")

    def make(self, cast: Cast) -> list[Message]:
        """Makes one example."""
        return in_conversation(cast, memory_and_sum(cast, self.difficulty), self.difficulty)
