"""What a score has to beat: values that need no model, and what of a question no model has understood.

All are shares of right answers by the skill's own metric, ``final_answer`` or ``contains``.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import sqrt

from growlm.data.example import Example, Message, Split
from growlm.skills.metric import OF_MESSAGES
from growlm.skills.skill import Skill

REFERENCE_TITLES = {
    "drawn": "drawn choice",
    "majority": "majority answer",
    "blind": "question-blind counter",
    "rule": "rule without memory",
}
"""The references, and what tables call them."""
_OF_COMPLETIONS = ("exact_match", "label_match", "letter_match")
_ORDER = 4
_Z = 1.96


@dataclass(frozen=True)
class References:
    """Scores without a model.

    Args:
        drawn: a choice drawn at random.
        constant: the best constant answer.
        stateless: the skill's simple rule; None if it has none.
        blind: the question-blind counter: share of answers whose every word is the one that most often follows the four
            words before it in training answers, read after the right words.
    """

    drawn: float
    constant: float
    stateless: float | None
    blind: float

    @property
    def best(self) -> float:
        """The greatest of them."""
        return max(self.drawn, self.constant, self.stateless or 0.0, self.blind)


def references(
    skill: Skill, split: Split = "test", num_train: int = 1_000, limit: int | None = None
) -> References | None:
    """Compute what a skill's score is to be compared with.

    Args:
        skill: the skill.
        split: the split that is scored.
        num_train: how many training examples the question-blind counter counts.
        limit: greatest number of examples, from the first on of the split for the rule and the counter.

    Returns:
        The values; None for a skill whose metric does not judge the replies of conversations.
    """
    if skill.metric not in OF_MESSAGES:
        return None
    scored = [
        (example.messages[:index], message)
        for example in islice(skill.examples(split), limit)
        for index, message in enumerate(example.messages)
        if message.expected
    ]
    ruled = [skill.stateless(before) for before, _ in scored]
    right = [
        judge(skill, message, answer) for (_, message), answer in zip(scored, ruled, strict=True) if answer is not None
    ]
    blind = _Counter(islice(_training_examples(skill), num_train))
    return References(
        skill.chance(split),
        skill.majority(split),
        sum(right) / len(scored) if right else None,
        sum(blind.knows(message) for _, message in scored) / max(1, len(scored)),
    )


def reference_scores(skill: Skill, limit: int | None) -> dict[str, float]:
    """Compute the references that a skill has, by the skill's own metric.

    Args:
        skill: the skill.
        limit: how many test examples are scored.

    Returns:
        By the keys of ``REFERENCE_TITLES``; empty for a metric that judges no whole answers.
    """
    if skill.metric in OF_MESSAGES:
        found = references(skill, limit=limit)
        if found is None:
            return {}
        rule = {} if found.stateless is None else {"rule": found.stateless}
        return {"drawn": found.drawn, "majority": found.constant, "blind": found.blind, **rule}
    if skill.metric in _OF_COMPLETIONS:
        return {"drawn": skill.chance(), "majority": skill.majority()}
    return {}


def judge(skill: Skill, message: Message, reply: str) -> bool:
    """Return whether a reply is right by the skill's metric, ``final_answer`` or ``contains``."""
    return message.ends_with(reply) if skill.metric == "final_answer" else message.accepts(reply)


def interval(share: float, count: int) -> tuple[float, float]:
    """Compute the 95 % interval of a share of right answers (Wilson 1927).

    Args:
        share: the share, from 0 to 1.
        count: how many answers it is of; at least 1.

    Returns:
        The lower and the upper end.
    """
    middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def learned(share: float, count: int, known: References) -> bool:
    """Return whether a score is above every reference: its 95 % interval does not reach down to the best of them."""
    return interval(share, count)[0] > known.best


class _Counter:
    """Predicts the next word of an answer from the few before it, and never sees the question."""

    def __init__(self, examples: Iterator[Example]) -> None:
        counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for example in examples:
            for message in example.messages:
                if message.role == "assistant":
                    for context, word in _words(message.content):
                        for length in range(len(context) + 1):
                            counts[context[len(context) - length :]][word] += 1
        self._likeliest = {context: words.most_common(1)[0][0] for context, words in counts.items()}

    def knows(self, message: Message) -> bool:
        return all(self._next(context) == word for context, word in _words(message.content))

    def _next(self, context: tuple[str, ...]) -> str | None:
        suffixes = (context[start:] for start in range(len(context) + 1))
        return next((self._likeliest[suffix] for suffix in suffixes if suffix in self._likeliest), None)


def _words(answer: str) -> Iterator[tuple[tuple[str, ...], str]]:
    words = answer.split()
    for index, word in enumerate(words):
        yield ("<start>", *words)[max(0, index + 1 - _ORDER) : index + 1], word


def _training_examples(skill: Skill) -> Iterator[Example]:
    parts = getattr(skill, "parts", None)  # a composite has nothing to train on
    return iter(()) if parts else skill.examples("train")
