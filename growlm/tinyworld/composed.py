"""Putting skills together: a problem asked in the middle of a conversation, two problems asked at once."""

from collections.abc import Sequence
from dataclasses import replace

from growlm.data.example import Message
from growlm.tinyworld import facts, requests, small_talk
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.conversation import Conversation
from growlm.tinyworld.problem import Problem, joined

TOGETHER = 0.75
"""Share of a composite's examples that ask a question of each skill; the others take one skill after the other."""

_BEFORE = (facts.tell_like, facts.tell_favorite, facts.tell_pet, small_talk.about_me, requests.choose)


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
    small_talk.tell_name(talk)
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
