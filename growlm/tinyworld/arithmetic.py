"""Sums in figures, about things that somebody has, and about things that change hands."""

from dataclasses import dataclass, field

from growlm.tinyworld.cast import Cast
from growlm.tinyworld.dice import Dice, first_fitting
from growlm.tinyworld.lexicon import MANY
from growlm.tinyworld.memory import draw_scene, memory_problems
from growlm.tinyworld.problem import TOGETHER, Problem, both

_ASKED = ("What is {sum}?", "How much is {sum}?", "{sum} = ?", "Can you tell me what {sum} is?", "{sum} =")


@dataclass(frozen=True)
class Sum:
    """Numbers added and taken away, from left to right.

    Args:
        first: the number to begin with.
        steps: what is added; what is taken away is negative.
    """

    first: int
    steps: tuple[int, ...]

    @property
    def result(self) -> int:
        """What it comes to."""
        return self.first + sum(self.steps)

    @property
    def text(self) -> str:
        """The sum in figures, such as ``3 + 4 - 2``."""
        return str(self.first) + "".join(f" {'+' if step >= 0 else '-'} {abs(step)}" for step in self.steps)


def largest(difficulty: float) -> int:
    """Gives the largest number of a difficulty: 10 for the easiest, 30 for the middle, 99 for the hardest."""
    return 10 + round(40 * difficulty) if difficulty <= 0.5 else round(30 + 138 * (difficulty - 0.5))


def draw_sum(cast: Cast, limit: int, num_steps: int) -> Sum:
    """Draws a sum whose every step belongs to the split, so that no pair of numbers of the test is ever trained.

    Args:
        cast: for its chance and its split.
        limit: no number on the way is larger, and none below 0.
        num_steps: how many numbers are added or taken away.

    Returns:
        The sum.

    Raises:
        GrowlmError: if the split has none that fits.
    """
    wanted = f"sum of {num_steps + 1} numbers up to {limit} for the {cast.split} split"
    return first_fitting(wanted, lambda _: _try_sum(cast, limit, num_steps))


def arithmetic_problem(cast: Cast, difficulty: float) -> Problem:
    """Draws a sum of two numbers, or three if it may be harder, and asks for it in figures or about things."""
    three = difficulty > 0.25 and cast.dice.chance(0.25)
    return sum_problem(cast, largest(difficulty), 2 if three else 1)


def sum_problem(cast: Cast, limit: int, num_steps: int) -> Problem:
    """Asks for a sum in figures or about things."""
    problem = figures_problem if cast.dice.chance(0.6) else owned_problem
    return problem(cast, limit, num_steps)


def figures_problem(cast: Cast, limit: int, num_steps: int) -> Problem:
    """Asks for a sum in figures."""
    total = draw_sum(cast, limit, num_steps)
    wanted = f"{total.text} = {total.result}"
    near = range(max(0, total.result - 5), min(limit, total.result + 5) + 1)
    choices = tuple(f"{total.text} = {number}" for number in near)
    return Problem((), cast.dice.pick(_ASKED).format(sum=total.text), f"{wanted}.", wanted, choices)


def owned_problem(cast: Cast, limit: int, num_steps: int) -> Problem:
    """Asks how many somebody has after getting some and losing some; never just one, which would need a singular."""
    dice = cast.dice

    def without_one(_: int) -> Sum | None:
        total = draw_sum(cast, limit, num_steps)
        # an answer that equals the number told first could be had by repeating it
        fits = 1 not in (total.first, total.result, *map(abs, total.steps)) and total.result != total.first
        return total if fits else None

    total = first_fitting(f"sum of more than ones up to {limit}", without_one)
    person, things = cast.person(), cast.word(MANY)
    facts = [f"{person.name} has {total.first} {things}."]
    for step in total.steps:
        wordings = (
            ("{He} gets {n} more.", "{He} finds {n} more.", "{name} gets {n} more {things}.")
            if step > 0
            else ("{He} drops {n}.", "{He} gives {n} away.", "{name} gives {n} {things} away.")
        )
        facts.append(
            dice.pick(wordings).format(He=person.he.capitalize(), n=abs(step), name=person.name, things=things)
        )
    return has_problem(tuple(facts), person.name, things, total.result, limit)


def has_problem(facts: tuple[str, ...], name: str, things: str, number: int, limit: int) -> Problem:
    """Asks how many of something somebody has."""
    near = range(max(0, number - 5), min(limit, number + 5) + 1)
    choices = tuple(f"{name} has {value} {things}" for value in near)
    wanted = f"{name} has {number} {things}"
    return Problem(facts, f"How many {things} does {name} have?", f"{wanted}.", wanted, choices)


def _try_sum(cast: Cast, limit: int, num_steps: int) -> Sum | None:
    dice = cast.dice
    total = first = dice.number(0, limit)
    steps: list[int] = []
    for _ in range(num_steps):
        step = dice.number(1, max(1, limit - total)) if dice.chance(0.5) else -dice.number(1, max(1, total))
        if not 0 <= total + step <= limit or not _owned(cast, total, step):
            return None
        steps.append(step)
        total += step
    return Sum(first, tuple(steps))


def _owned(cast: Cast, total: int, step: int) -> bool:
    """Tells whether the split may use a step: 3 + 4, 4 + 3, 7 - 3 and 7 - 4 belong together."""
    low, high = sorted((abs(step), total if step > 0 else total + step))
    # a pattern rather than a hash, so that even the smallest numbers leave some pairs for every split
    share = (4 * low + 7 * high) % 10
    return cast.split == {0: "validation", 1: "test", 5: "test"}.get(share, "train")


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
