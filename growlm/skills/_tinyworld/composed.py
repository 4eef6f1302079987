"""Putting skills together: a problem asked in the middle of a conversation, two problems asked at once."""

from collections.abc import Sequence
from dataclasses import replace

from growlm.skills._skill import Message
from growlm.skills._tinyworld import facts, requests, small_talk
from growlm.skills._tinyworld.cast import Cast
from growlm.skills._tinyworld.conversation import Conversation
from growlm.skills._tinyworld.problem import Problem

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
    name = talk.you or ""
    return [
        *(replace(message, expected=(), choices=()) for message in talk.messages),
        Message("user", problem.text),
        Message("assistant", f"{problem.answer[:-1]}, {name}.", ((problem.wanted,), (name,))),
    ]


def both(cast: Cast, first: Problem, second: Problem) -> list[Message]:
    """Tells the facts of two problems mixed, asks both questions, and wants both answers."""
    told = mixed(cast, first.facts, second.facts)
    asked = cast.dice.shuffled((first, second))
    return [
        Message("user", " ".join((*told, *(problem.question for problem in asked)))),
        Message(
            "assistant",
            " ".join(problem.answer for problem in asked),
            tuple((problem.wanted,) for problem in asked),
        ),
    ]


def mixed(cast: Cast, first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """Shuffles two tellings into each other; each keeps its own order."""
    from_first = cast.dice.shuffled([True] * len(first) + [False] * len(second))
    one, other = iter(first), iter(second)
    return tuple(next(one) if turn else next(other) for turn in from_first)
