"""What a skill is: a source of examples with a metric."""

import copy
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from growlm.data.digest import ExamplesDigest
from growlm.data.example import Example, Message, Split
from growlm.errors import unknown_name
from growlm.skills.metric import OF_ANY_SKILL, Metric, Scoring

History = Literal["all", "problem", "none"]
"""Which turns before a question an answer may need: all of the conversation; those since the last turn that gives a
problem, which is one of more than one sentence; none."""


class Skill(ABC):
    """One unit of competence: where its examples come from and how answers are scored.

    Attributes:
        metric: how an answer is scored; see ``growlm.skills.metric``.
        scoring: how a model is asked for its answer.
        max_answer_tokens: how long a generated answer may become.
        history: which turns before a question its examples have; a module that learned it is shown no others.
        notices: what a user should know of the examples before they are trained.
    """

    metric: Metric
    scoring: Scoring = "generation"
    max_answer_tokens: int = 96
    history: History = "all"
    notices: tuple[str, ...] = ()

    @abstractmethod
    def examples(self, split: Split) -> Iterator[Example]:
        """Yield the split's examples, always the same ones in the same order.

        Args:
            split: which part; the three never share an example.

        Yields:
            The examples.
        """

    def scored_by(self, metric: Metric) -> "Skill":
        """Return the same skill with another metric.

        Args:
            metric: one of ``growlm.skills.metric.OF_ANY_SKILL``.

        Returns:
            A copy; the examples are the same.

        Raises:
            GrowlmError: for any other metric.
        """
        if metric not in OF_ANY_SKILL:
            raise unknown_name("metric of any skill", str(metric), OF_ANY_SKILL)
        other = copy.copy(self)
        other.metric = metric
        return other

    def chance(self, split: Split = "test") -> float:
        """Compute what guessing among the choices would score.

        Args:
            split: the split that is scored.

        Returns:
            The mean over scored answers of one over the number of choices; an answer without choices counts as 0.
        """
        shares = [1 / len(choices) if choices else 0.0 for _, choices in self._scored(split)]
        return sum(shares) / len(shares) if shares else 0.0

    def majority(self, split: Split = "test") -> float:
        """Compute what the best constant answer would score.

        Args:
            split: the split that is scored.

        Returns:
            The greatest share of the scored answers that one and the same answer of the split gets right.
        """
        answers = Counter(answer for answer, _ in self._scored(split))
        return max(answers.values(), default=0) / max(1, answers.total())

    def stateless(self, messages: tuple[Message, ...]) -> str | None:
        """Answer a question by a simple rule that keeps no state, where the skill has one.

        Args:
            messages: the conversation up to the question.

        Returns:
            The rule's answer; None if there is no rule, or it finds no answer.
        """
        return None

    def _scored(self, split: Split) -> Iterator[tuple[object, tuple[str, ...]]]:
        for example in self.examples(split):
            if example.completion is not None:
                yield example.completion, example.choices
            for message in example.messages:
                if message.expected:
                    yield message.expected, message.choices

    @classmethod
    def missing_data(cls, options: Mapping[str, Any]) -> str | None:
        """Name what a skill with these options would read and that is not there, without reading anything.

        Args:
            options: the constructor's arguments.

        Returns:
            The file or folder that is missing; None if nothing is, or nothing is read.
        """
        return None

    def digest(self, split: Split) -> str:
        """Compute the SHA-256 of a split's examples, as hex."""
        digest = ExamplesDigest()
        deque(digest.reading(self.examples(split)), maxlen=0)
        return digest.hexdigest()
