"""Problems whose answer is not told but follows: comparison, family, rules, counting."""

from growlm.tinyworld.cast import Cast
from growlm.tinyworld.comparison import ask_most, ask_pair, draw_chain
from growlm.tinyworld.counting import count_doers, count_owned
from growlm.tinyworld.family import draw_family, kinship_problem
from growlm.tinyworld.problem import Problem
from growlm.tinyworld.rules import rule_problem


def reasoning_problem(cast: Cast, difficulty: float) -> Problem:
    """Draws a problem of one of the four sorts.

    Args:
        cast: who and what takes part.
        difficulty: from 0 to 1; the higher, the longer the chains.

    Returns:
        The problem.
    """
    dice = cast.dice
    sort = dice.number(0, 3)
    if sort == 0:
        names = [person.name for person in cast.people(dice.number(3, 3 + round(3 * difficulty)))]
        chain = draw_chain(cast, names)
        return ask_most(chain) if dice.chance(0.5) else ask_pair(cast, chain)
    if sort == 1:
        return kinship_problem(cast, draw_family(cast, dice.number(1, 1 + round(2 * difficulty))))
    if sort == 2:
        return rule_problem(cast, dice.number(1, 1 + round(2 * difficulty)))
    count = dice.number(3, 4 + round(2 * difficulty))
    return count_doers(cast, count) if dice.chance(0.5) else count_owned(cast, count)
