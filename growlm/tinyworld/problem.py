"""A question with the facts that it is about and its one right answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, product

from growlm.data.example import Message

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
