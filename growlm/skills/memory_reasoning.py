"""Composite of memory and reasoning: where the tallest is, or both questions at once."""

from growlm.data.example import Message
from growlm.skills._procedural import Composite
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.comparison import Chain, ask_most, draw_chain
from growlm.tinyworld.composed import TOGETHER, both, mixed
from growlm.tinyworld.lexicon import at
from growlm.tinyworld.memory import memory_problems
from growlm.tinyworld.problem import Problem, turn
from growlm.tinyworld.scene import Scene, play_scene


class MemoryReasoning(Composite):
    """Composite of memory and reasoning: where the tallest is, or both questions at once.

    People who do things are compared with each other. Three quarters of the examples ask a question of each skill, and
    want both answers; the others ask where the tallest is, which takes one skill after the other. For testing only.

    Args:
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1, as that of its parts.
    """

    parts = ("memory", "reasoning")

    def make(self, cast: Cast) -> list[Message]:
        """Makes one example."""
        dice = cast.dice
        scene = play_scene(cast, 3, 2, dice.number(1, 2 + round(4 * self.difficulty)), 0.2 * self.difficulty)
        chain = draw_chain(cast, [person.name for person in scene.people])
        if dice.chance(TOGETHER):
            return turn(both(cast, dice.pick(dice.pick(memory_problems(scene))), ask_most(chain)))
        return _where_is_the_most(cast, scene, chain)


def _where_is_the_most(cast: Cast, scene: Scene, chain: Chain) -> list[Message]:
    most = chain.dimension.most
    name = chain.names[0]
    wanted = f"{name} is {at(scene.world.place_of[name])}"
    told = mixed(cast, scene.sentences, chain.facts)
    return turn(Problem(told, f"Where is the {most}?", f"{wanted}.", wanted, ()))
