"""Who has how many of what, while things change hands; and a sum beside a question of memory."""

from dataclasses import dataclass, field

from growlm.tinyworld.arithmetic import has_problem, largest, sum_problem
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.composed import TOGETHER, both
from growlm.tinyworld.dice import Dice
from growlm.tinyworld.lexicon import MANY
from growlm.tinyworld.memory import memory_problems
from growlm.tinyworld.problem import Problem
from growlm.tinyworld.scene import draw_scene
from growlm.tinyworld.tries import first_fitting


@dataclass
class Ledger:
    """Counts of things by owner.

    Args:
        counts: for each owner and thing, how many.
        facts: what has been told.
        numbers: every number told.
        changes: for each owner and thing, how often the count has changed.
    """

    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    facts: list[str] = field(default_factory=list)
    numbers: set[int] = field(default_factory=set)
    changes: dict[tuple[str, str], int] = field(default_factory=dict)

    def begin(self, name: str, things: str, number: int) -> None:
        """Tells how many somebody has at first."""
        self.counts[name, things] = number
        self.numbers.add(number)
        self.facts.append(f"{name} has {number} {things}.")

    def give(self, giver: str, taker: str, things: str, number: int) -> None:
        """Lets some change hands."""
        for name, change in ((giver, -number), (taker, number)):
            self.counts[name, things] += change
            self.changes[name, things] = self.changes.get((name, things), 0) + 1
        self.numbers.add(number)
        self.facts.append(f"{giver} gave {number} {things} to {taker}.")


def memory_and_sum(cast: Cast, difficulty: float) -> Problem:
    """Draws a problem that takes memory and arithmetic: a question of each, or a ledger.

    Args:
        cast: who and what takes part.
        difficulty: from 0 to 1.

    Returns:
        The problem.
    """
    dice, limit = cast.dice, largest(difficulty)
    if dice.chance(TOGETHER):
        remembered = dice.pick(dice.pick(memory_problems(draw_scene(cast, difficulty))))
        return both(cast, remembered, sum_problem(cast, limit, 1))
    return ledger_problem(cast, limit, 2 + round(difficulty), dice.number(1, 1 + round(2 * difficulty)))


def ledger_problem(cast: Cast, limit: int, num_people: int, num_gifts: int) -> Problem:
    """Draws a ledger and asks for a count that was never told.

    Args:
        cast: who and what takes part.
        limit: no count is larger.
        num_people: how many people.
        num_gifts: how many gifts.

    Returns:
        The problem.
    """
    names = [person.name for person in cast.people(num_people)]
    sorts = cast.words(MANY, 2)

    def fitting(_: int) -> Problem | None:
        ledger = _play(cast.dice, names, sorts, limit, num_gifts)
        # an answer that is told somewhere could be found without calculating
        asked = [
            (owner, number)
            for owner, number in ledger.counts.items()
            if ledger.changes.get(owner) and number not in {*ledger.numbers, 1}
        ]
        if not asked:
            return None
        (name, things), number = cast.dice.pick(asked)
        return has_problem(tuple(ledger.facts), name, things, number, limit)

    return first_fitting("count that is not told", fitting)


def _play(dice: Dice, names: list[str], sorts: list[str], limit: int, num_gifts: int) -> Ledger:
    ledger = Ledger()
    for name, things in dice.shuffled([(name, things) for name in names for things in sorts]):
        ledger.begin(name, things, dice.number(2, limit // 2))
    for _ in range(num_gifts):
        giver, taker = dice.some(names, 2)
        things = dice.pick(sorts)
        number = dice.number(2, max(2, ledger.counts[giver, things]))
        if number <= ledger.counts[giver, things] and ledger.counts[taker, things] + number <= limit:
            ledger.give(giver, taker, things, number)
    return ledger
