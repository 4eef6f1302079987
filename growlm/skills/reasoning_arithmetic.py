"""Composite of reasoning and arithmetic: both questions at once, or who has how many more than whom."""

from itertools import pairwise

from growlm.data.example import Message
from growlm.skills._procedural import Composite
from growlm.tinyworld.arithmetic import has_problem, largest, sum_problem
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.composed import TOGETHER, both
from growlm.tinyworld.dice import Dice
from growlm.tinyworld.lexicon import MANY
from growlm.tinyworld.problem import Problem, turn
from growlm.tinyworld.reasoning import reasoning_problem
from growlm.tinyworld.tries import first_fitting


class ReasoningArithmetic(Composite):
    """Composite of reasoning and arithmetic: both questions at once, or who has how many more than whom.

    Three quarters of the examples ask a question of each skill, and want both answers. The others tell in a random
    order who has how many more or fewer than somebody else, and ask for one in the middle of that chain, so that it
    does not do to add up all that is told. For testing only.

    Args:
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1, as that of its parts.
    """

    parts = ("reasoning", "arithmetic")

    def make(self, cast: Cast) -> list[Message]:
        """Makes one example."""
        limit = largest(self.difficulty)
        if cast.dice.chance(TOGETHER):
            return turn(both(cast, reasoning_problem(cast, self.difficulty), sum_problem(cast, limit, 1)))
        names = [person.name for person in cast.people(3 + round(2 * self.difficulty))]
        things = cast.word(MANY)
        return turn(first_fitting("chain of numbers", lambda _: _try_chain(cast.dice, names, things, limit)))


def _try_chain(dice: Dice, names: list[str], things: str, limit: int) -> Problem | None:
    counts = [dice.number(2, limit) for _ in names]
    steps = [after - before for before, after in pairwise(counts)]
    asked = dice.number(1, len(names) - 2)
    # neither none nor one, which would need a singular, nor an answer that is told
    if min(map(abs, steps)) < 2 or counts[asked] in {counts[0], *map(abs, steps)}:
        return None
    facts = [f"{names[0]} has {counts[0]} {things}."]
    for (name, other), step in zip(pairwise(names), steps, strict=True):
        facts.append(f"{other} has {abs(step)} {'more' if step > 0 else 'fewer'} {things} than {name}.")
    return has_problem(tuple(dice.shuffled(facts)), names[asked], things, counts[asked], limit)
