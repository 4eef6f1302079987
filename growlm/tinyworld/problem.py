"""A question with its facts and its one right answer; problems inside a conversation and in pairs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice, product

from growlm.data.example import Message
from growlm.tinyworld import conversation, facts
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.conversation import Conversation

_MAX_CHOICES = 64


@dataclass(frozen=True)
class Problem:
    """A problem.

    Args:
        facts: sentences that come before the question.
        question: the question.
        answer: the answer as a sentence, its full stop included.
        wanted: the part of the answer that makes it right.
        choices: the parts that could have stood there instead, ``wanted`` among them.
    """

    facts: tuple[str, ...]
    question: str
    answer: str
    wanted: str
    choices: tuple[str, ...]

    @property
    def text(self) -> str:
        """Facts and question as one says them."""
        return " ".join((*self.facts, self.question))


def turn(problem: Problem) -> list[Message]:
    """Makes a conversation of one exchange: the problem and its answer."""
    return [
        Message("user", problem.text),
        Message("assistant", problem.answer, ((problem.wanted,),), problem.choices),
    ]


def joined(problems: Sequence[Problem], facts: Sequence[str]) -> Problem:
    """Asks several questions about the same facts, to be answered one after the other.

    Args:
        problems: what is asked, in order.
        facts: what is told before all questions.

    Returns:
        One problem; its answer is right if every part is.
    """
    choices = (" ".join(parts) for parts in product(*[_sentences(problem) for problem in problems]))
    answer = " ".join(problem.answer for problem in problems)
    return Problem(
        tuple(facts),
        " ".join(problem.question for problem in problems),
        answer,
        " ".join(problem.answer for problem in problems),
        tuple(islice(choices, _MAX_CHOICES)) if all(problem.choices for problem in problems) else (),
    )


def _sentences(problem: Problem) -> list[str]:
    """Gives the answers that could be given, the right one first."""
    others = [choice for choice in problem.choices if choice != problem.wanted]
    return [problem.answer, *(problem.answer.replace(problem.wanted, choice) for choice in others)]


TOGETHER = 0.75
"""Share of a composite's examples that ask a question of each skill; the others take one skill after the other."""

_BEFORE = (facts.state_like, facts.state_favorite, facts.state_pet, conversation.about_me, conversation.choose)


def in_conversation(cast: Cast, problem: Problem, difficulty: float) -> list[Message]:
    """Asks a problem of a user who has told their name, so that the answer has to hold the name, too.

    Args:
        cast: the problem's cast, so that the user has a name of their own.
        problem: the problem.
        difficulty: from 0 to 1; the higher, the more is said between the name and the problem.

    Returns:
        The conversation; its last turn alone is scored.
    """
    talk = Conversation(cast.dice, cast)
    conversation.introduce(talk)
    for _ in range(cast.dice.number(0, round(2 * difficulty))):
        cast.dice.pick(_BEFORE)(talk)
    name, wanted = talk.you or "", problem.wanted.removesuffix(".")
    choices = tuple(choice.removesuffix(".") for choice in problem.choices)
    return [
        *(replace(message, expected=(), choices=()) for message in talk.messages),
        Message("user", problem.text),
        Message("assistant", f"{problem.answer[:-1]}, {name}.", ((wanted,), (name,)), choices),
    ]


def both(cast: Cast, first: Problem, second: Problem) -> Problem:
    """Tells the facts of one problem after those of the other, asks both questions, and wants both answers.

    One is told after the other so that ``he`` and ``there`` mean what they mean; the questions have an order of their
    own, which the answers have to keep.
    """
    told = cast.dice.shuffled((first.facts, second.facts))
    return joined(cast.dice.shuffled((first, second)), (*told[0], *told[1]))


def mixed(cast: Cast, first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """Shuffles two tellings into each other; each keeps its own order."""
    from_first = cast.dice.shuffled([True] * len(first) + [False] * len(second))
    one, other = iter(first), iter(second)
    return tuple(next(one) if turn else next(other) for turn in from_first)
