"""Sums, worked place by place: in figures, in words, about things that somebody has or that change hands."""

from dataclasses import dataclass, field

from growlm.tinyworld.cast import Cast, owner
from growlm.tinyworld.dice import Dice, first_fitting
from growlm.tinyworld.lexicon import MANY, in_words
from growlm.tinyworld.problem import Problem

_ASKED = (
    "What is {sum}?",
    "How much is {sum}?",
    "What's {sum}?",
    "Can you tell me what {sum} is?",
    "Do you know what {sum} is?",
    "Tell me what {sum} is.",
    "{sum}?",
    "{sum}",
)
_ASKED_IN_SIGNS = ("{sum} = ?", "{sum} =", *_ASKED)
_ADD = ("Add {first} and {second}.", "How much are {first} and {second} together?", "Can you add {first} and {second}?")
_SUBTRACT = (
    "Take {second} away from {first}.",
    "Subtract {second} from {first}.",
    "Can you take {second} from {first}?",
)
_WITH_SIGN = 0.7
"""Share of the sums in figures that have a sign."""
_SPACED = 0.7
"""Share of these with spaces around it."""
_TOLD = 0.15
"""Share of the others that ask to add or subtract."""
_GETS = (
    "{He} gets {n} more.",
    "{He} finds {n} more.",
    "{He} buys {n} more.",
    "Then {he} gets {n} more.",
    "A friend gives {him} {n} more.",
    "{name} gets {n} more {things}.",
    "{name} buys {n} more {things}.",
)
_LOSES = (
    "{He} drops {n}.",
    "{He} gives {n} away.",
    "{He} loses {n}.",
    "{He} sells {n} of them.",
    "Then {he} gives {n} to a friend.",
    "{name} gives {n} {things} away.",
    "{name} loses {n} {things}.",
)
_I_GET = ("I get {n} more.", "I find {n} more.", "I buy {n} more {things}.", "My mom gives me {n} more.")
_I_LOSE = ("I give {n} away.", "I lose {n} {things}.", "I drop {n}.", "Then I give {n} to a friend.")
_ASKED_OF = (
    "How many {things} does {name} have?",
    "How many {things} does {name} have now?",
    "How many {things} does {he} have now?",
    "How many does {name} have now?",
)
_ASKED_OF_ME = ("How many {things} do I have?", "How many {things} do I have now?", "How many do I have now?")
_ASKED_WHAT_IS_LEFT = ("How many {things} are left?", "How many are left?")
_MINE = 0.2
"""Share of the problems about things in which the user is the owner."""
_NEAR = 5


@dataclass(frozen=True)
class Sum:
    """Two numbers, added, or the second taken from the first.

    Args:
        first: the first number.
        second: the second.
        plus: add rather than take away.
    """

    first: int
    second: int
    plus: bool

    @property
    def result(self) -> int:
        """What it comes to."""
        return self.first + self.second if self.plus else self.first - self.second

    @property
    def text(self) -> str:
        """The sum in figures, such as ``27 + 15``."""
        return f"{self.first} {'+' if self.plus else '-'} {self.second}"

    @property
    def steps(self) -> str:
        """The work, place by place from the ones, with the one that is carried or borrowed.

        ``7 + 5 = 12. 2 + 1 + 1 = 4.`` for ``27 + 15``; ``12 - 5 = 7. 4 - 1 - 1 = 2.`` for ``42 - 15``.
        """
        first, second, over = self.first, self.second, 0
        steps: list[str] = []
        while first or second or not steps:
            (first, a), (second, b) = divmod(first, 10), divmod(second, 10)
            sign, carried = ("+", f" + {over}") if self.plus else ("-", f" - {over}")
            value = a + b + over if self.plus else a - b - over
            borrows = value < 0
            steps.append(f"{a + 10 * borrows} {sign} {b}{carried if over else ''} = {value + 10 * borrows}.")
            over = int(borrows or value > 9)
        return " ".join(steps)


def largest(difficulty: float) -> int:
    """Return the largest number of a difficulty: 20 for the easiest, 99 for the middle, 999 for the hardest."""
    return round(20 + 158 * difficulty) if difficulty <= 0.5 else round(99 + 1_800 * (difficulty - 0.5))


def draw_sum(cast: Cast, limit: int) -> Sum:
    """Draw a sum of the split: all sums of two figures are training's, of the others each is one split's.

    Args:
        cast: for its chance and its split.
        limit: no number is larger, and none below 0.

    Returns:
        The sum.

    Raises:
        GrowlmError: if the split has none that fits.
    """
    dice = cast.dice
    plus = dice.chance(0.5)  # drawn before the numbers: of two that are drawn, more may be subtracted than added

    def fitting(_: int) -> Sum | None:
        low, high = dice.number(0, limit), dice.number(0, limit)
        total = Sum(low, high, plus) if plus else Sum(max(low, high), min(low, high), plus)
        return total if total.result <= limit and _owner(total) == cast.split else None

    return first_fitting(f"sum up to {limit} for the {cast.split} split", fitting)


def sum_problem(cast: Cast, limit: int) -> Problem:
    """Ask for a sum in figures, in words or about things."""
    return cast.dice.pick((digits_problem, digits_problem, words_problem, owned_problem))(cast, limit)


def digits_problem(cast: Cast, limit: int) -> Problem:
    """Ask for a sum in figures, mostly with a sign; the work begins with writing it so if it is written otherwise."""
    dice, total = cast.dice, draw_sum(cast, limit)
    if dice.chance(_WITH_SIGN):
        asked = dice.pick(_ASKED_IN_SIGNS).format(
            sum=total.text if dice.chance(_SPACED) else total.text.replace(" ", "")
        )
    else:
        asked = _said(dice, total, str(total.first), str(total.second))
    work = total.steps if total.text in asked else f"{total.text}. {total.steps}"
    return Problem((), asked, str(total.result), work, _near("{}", total.result, limit), _sort("digits", total))


def words_problem(cast: Cast, limit: int) -> Problem:
    """Ask for a sum in words; the work begins with writing it in figures."""
    total = draw_sum(cast, limit)
    asked = _said(cast.dice, total, in_words(total.first), in_words(total.second))
    work = f"{total.text}. {total.steps}"
    return Problem((), asked, str(total.result), work, _near("{}", total.result, limit), _sort("words", total))


def _said(dice: Dice, total: Sum, first: str, second: str) -> str:
    """Ask for a sum without a sign."""
    if dice.chance(_TOLD):
        return dice.pick(_ADD if total.plus else _SUBTRACT).format(first=first, second=second)
    return dice.pick(_ASKED).format(sum=f"{first} {'plus' if total.plus else 'minus'} {second}")


def owned_problem(cast: Cast, limit: int) -> Problem:
    """Ask how many somebody has after getting or losing some; never just one, which would need a singular."""
    dice = cast.dice

    def without_one(_: int) -> Sum | None:
        total = draw_sum(cast, limit)
        fits = not {0, 1} & {total.first, total.second, total.result}
        return total if fits else None

    total = first_fitting(f"sum of more than ones up to {limit}", without_one)
    person, things, mine = cast.person(), cast.word(MANY), dice.chance(_MINE)
    begin, final = ("I have", "You have") if mine else (f"{person.name} has",) * 2
    gets, loses, asked = (_I_GET, _I_LOSE, _ASKED_OF_ME) if mine else (_GETS, _LOSES, _ASKED_OF)
    slots = {"n": total.second, "things": things, "name": person.name}
    slots |= {"he": person.he, "He": person.he.capitalize(), "him": person.him}
    facts = (f"{begin} {total.first} {things}.", dice.pick(gets if total.plus else loses).format(**slots))
    question = dice.pick(asked if total.plus else asked + _ASKED_WHAT_IS_LEFT).format(**slots)
    work = f"{total.text}. {total.steps}"
    return _how_many(facts, question, f"{final} {{}} {things}", total.result, limit, work, _sort("things", total))


def has_problem(facts: tuple[str, ...], name: str, things: str, number: int, limit: int, work: str) -> Problem:
    """Ask how many of something somebody has."""
    question = f"How many {things} does {name} have?"
    return _how_many(facts, question, f"{name} has {{}} {things}", number, limit, work)


def _how_many(
    facts: tuple[str, ...], question: str, final: str, number: int, limit: int, work: str, sort: str = ""
) -> Problem:
    """Ask for a number; ``final`` is what the last clause says about it."""
    return Problem(facts, question, final.format(number), work, _near(final, number, limit), sort)


@dataclass
class Ledger:
    """Counts of things by owner, while things change hands.

    Args:
        counts: for each owner and thing, how many.
        facts: the sentences so far.
        numbers: every number in them.
        work: for each owner and thing, the sums that lead to its count.
    """

    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    facts: list[str] = field(default_factory=list)
    numbers: set[int] = field(default_factory=set)
    work: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def begin(self, name: str, things: str, number: int) -> None:
        """Add how many somebody has at first."""
        self.counts[name, things] = number
        self.numbers.add(number)
        self.facts.append(f"{name} has {number} {things}.")

    def give(self, giver: str, taker: str, things: str, number: int) -> None:
        """Let some change hands."""
        for name, plus in ((giver, False), (taker, True)):
            total = Sum(self.counts[name, things], number, plus)
            self.counts[name, things] = total.result
            self.work.setdefault((name, things), []).append(f"{total.text}. {total.steps} {total.result}.")
        self.numbers.add(number)
        self.facts.append(f"{giver} gave {number} {things} to {taker}.")


def ledger_problem(cast: Cast, limit: int, num_people: int, num_gifts: int) -> Problem:
    """Draw a ledger and ask for a count that is not among its facts.

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
        asked = [owned for owned in ledger.work if ledger.counts[owned] not in {*ledger.numbers, 0, 1}]
        if not asked:
            return None
        name, things = owned = cast.dice.pick(asked)
        return has_problem(tuple(ledger.facts), name, things, ledger.counts[owned], limit, " ".join(ledger.work[owned]))

    return first_fitting("count that is not among the facts", fitting)


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


def _owner(total: Sum) -> str:
    if total.first < 10 and total.second < 10:
        return "train"
    return owner("sum", total.text)


def _near(template: str, number: int, limit: int) -> tuple[str, ...]:
    """Return the answers with numbers near the right one."""
    return tuple(template.format(value) for value in range(max(0, number - _NEAR), min(limit, number + _NEAR) + 1))


def _sort(form: str, total: Sum) -> str:
    return f"{form} {'plus' if total.plus else 'minus'}"
