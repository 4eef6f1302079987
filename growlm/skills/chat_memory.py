"""Composite of chat and memory: a memory question from a user who has told their name."""

from growlm.data.example import Message
from growlm.skills._procedural import Composite
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.composed import in_conversation
from growlm.tinyworld.memory import memory_problems
from growlm.tinyworld.scene import draw_scene


class ChatMemory(Composite):
    """Composite of chat and memory: a memory question from a user who has told their name.

    The answer has to be right and, as in chat, to call the user by name. Memory alone never learns of a user's name;
    chat alone never learns to follow things through hands and places. For testing only.

    Args:
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1, as that of its parts.
    """

    parts = ("chat", "memory")

    def make(self, cast: Cast) -> list[Message]:
        """Makes one example."""
        problems = cast.dice.pick(memory_problems(draw_scene(cast, self.difficulty)))
        return in_conversation(cast, cast.dice.pick(problems), self.difficulty)
