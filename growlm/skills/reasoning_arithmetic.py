"""Composite of reasoning and arithmetic: how many somebody has who has more than somebody else."""

from itertools import pairwise

from growlm.skills._procedural import Composite
from growlm.skills._skill import Message
from growlm.skills._tinyworld.arithmetic_problems import figures_problem, has_problem, largest
from growlm.skills._tinyworld.cast import Cast
from growlm.skills._tinyworld.composed import both
from growlm.skills._tinyworld.lexicon import MANY
from growlm.skills._tinyworld.problem import Problem, turn
from growlm.skills._tinyworld.reasoning_problems import reasoning_problem


class ReasoningArithmetic(Composite):
    """Composite of reasoning and arithmetic: how many somebody has who has more than somebody else.

    Half of the examples tell a chain of such comparisons in a random order, to be added up from its end; the others
    ask a question of each skill, and want both answers. For testing only.

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
        if cast.dice.chance(0.5):
            return both(cast, reasoning_problem(cast, self.difficulty), figures_problem(cast, limit, 1))
        return turn(_chain_problem(cast, limit, 2 + round(self.difficulty)))


def _chain_problem(cast: Cast, limit: int, num_people: int) -> Problem:
    dice = cast.dice
    names = [person.name for person in cast.people(num_people)]
    things = cast.word(MANY)
    count = dice.number(2, limit // num_people)
    facts = [f"{names[0]} has {count} {things}."]
    for fewer, more in pairwise(names):
        step = dice.number(2, limit // num_people)
        count += step
        facts.append(f"{more} has {step} more {things} than {fewer}.")
    return has_problem(tuple(dice.shuffled(facts)), names[-1], things, count, limit)
