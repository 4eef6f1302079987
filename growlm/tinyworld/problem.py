"""A question with its facts and its one right answer; problems inside a conversation and in pairs.

An answer works first and ends with one clause that answers; that clause alone is scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice, product

from growlm.data.example import Message
from growlm.tinyworld import conversation, facts
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.conversation import Conversation

TOGETHER = 0.75
"""Share of a composite's examples that ask a question of each skill; the others take one skill after the other."""

_MAX_CHOICES = 64
_BEFORE = (facts.state_like, facts.state_favorite, facts.state_pet, conversation.about_me, conversation.choose)


@dataclass(frozen=True)
class Problem:
    """A problem.

    Args:
        facts: sentences that come before the question.
        question: the question.
        final: the answer's last clause, without its full stop.
        work: the sentences before it, which lead to it.
        choices: what the last clause could have been, ``final`` among them; empty: no small set.
        sort: what is asked, to split scores by.
        notes: the facts in one form, with which the answer begins; empty: it needs none.
    """

    facts: tuple[str, ...]
    question: str
    final: str
    work: str = ""
    choices: tuple[str, ...] = ()
    sort: str = ""
    notes: str = ""

    @property
    def text(self) -> str:
        """Facts and question as one says them."""
        return " ".join((*self.facts, self.question))

    @property
    def answer(self) -> str:
        """The notes, the work and the last clause."""
        return " ".join(filter(None, (self.notes, self.work, f"{self.final}.")))


def turn(problem: Problem) -> list[Message]:
    """Make a conversation of one exchange: the problem and its answer."""
    return [
        Message("user", problem.text),
        Message("assistant", problem.answer, ((problem.final,),), problem.choices, problem.sort),
    ]


def in_turn(problems: Sequence[Problem]) -> list[Message]:
    """Make a conversation that asks problems with the same facts one after the other; facts and notes come once."""
    first, *others = problems
    return [*turn(first), *(message for problem in others for message in turn(replace(problem, facts=(), notes="")))]


def facts_said(messages: Sequence[Message]) -> str:
    """Return the facts of a conversation that asks about facts: what is said before the first question."""
    return messages[0].content.rpartition(". ")[0]


def both(cast: Cast, first: Problem, second: Problem) -> list[Message]:
    """Ask two problems at once: the facts of one after those of the other, then both questions in an order of its own.

    Args:
        cast: for its chance.
        first: a problem.
        second: another.

    Returns:
        A conversation of one exchange; its answer is right if it holds both last clauses, in the questions' order.
    """
    before = cast.dice.shuffled((first.facts, second.facts))
    asked = cast.dice.shuffled((first, second))
    text = " ".join((*before[0], *before[1], *(problem.question for problem in asked if problem.question)))
    answer = " ".join(problem.answer for problem in asked)
    return [
        Message("user", text),
        Message("assistant", answer, tuple((problem.final,) for problem in asked), _pairs(asked)),
    ]


def in_conversation(cast: Cast, messages: Sequence[Message], difficulty: float) -> list[Message]:
    """Put an exchange into the conversation of a user who has given their name, which the answer then has to hold.

    Args:
        cast: the exchange's cast, so that the user has a name of their own.
        messages: a question and its answer.
        difficulty: from 0 to 1; the higher, the more is said between the name and the question.

    Returns:
        The conversation; its last turn alone is scored.
    """
    talk = Conversation(cast.dice, cast)
    conversation.introduce(talk)
    for _ in range(cast.dice.number(0, round(2 * difficulty))):
        cast.dice.pick(_BEFORE)(talk)
    asked, answer = messages
    *earlier, (final,) = answer.expected
    choices = tuple(f"{choice}, {talk.you}" for choice in answer.choices)
    return [
        *(replace(message, expected=(), choices=()) for message in talk.messages),
        asked,
        replace(
            answer,
            content=f"{answer.content.removesuffix('.')}, {talk.you}.",
            expected=(*earlier, (f"{final}, {talk.you}",)),
            choices=choices,
        ),
    ]


def mixed(cast: Cast, first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """Shuffle two texts into each other; each keeps its own order."""
    from_first = cast.dice.shuffled([True] * len(first) + [False] * len(second))
    one, other = iter(first), iter(second)
    return tuple(next(one) if turn else next(other) for turn in from_first)


def _pairs(problems: Sequence[Problem]) -> tuple[str, ...]:
    """Return what both last clauses could have been, as two sentences."""
    if not all(problem.choices for problem in problems):
        return ()
    # the right one first, so that it is among those that are kept
    ordered = [sorted(problem.choices, key=lambda choice: choice != problem.final) for problem in problems]
    return tuple(". ".join(pair) for pair in islice(product(*ordered), _MAX_CHOICES))
