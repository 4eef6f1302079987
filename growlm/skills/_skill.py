"""What a skill is: a source of examples with a metric."""

import copy
import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from growlm.errors import unknown_name
from growlm.skills._metric import OF_ANY_SKILL, Metric, Scoring

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Args:
        role: ``"user"`` or ``"assistant"``.
        content: what is said.
        expected: for a test's assistant turn, what a reply must contain to count as right; each entry lists
            alternatives of which one suffices. Empty: the turn is not scored.
        choices: for a scored turn, the answers among which a guess would be made, where there are few; each is a
            string that may occur in ``expected``.
    """

    role: Literal["user", "assistant"]
    content: str
    expected: tuple[tuple[str, ...], ...] = ()
    choices: tuple[str, ...] = ()

    def accepts(self, reply: str) -> bool:
        """Tells whether a reply holds, for each entry of ``expected``, one alternative as whole words, in any case."""
        return all(any(_holds(reply, phrase) for phrase in alternatives) for alternatives in self.expected)


@dataclass(frozen=True)
class Example:
    """One example in exactly one of three shapes: a conversation, a prompt with its completion, or plain text.

    Args:
        name: where it comes from, for messages: ``"chat/train/17"`` or ``"file.jsonl:17"``.
        messages: the conversation; the assistant's turns are trained.
        prompt: what is given; never trained.
        completion: what is to be said after ``prompt``; trained.
        choices: the completions among which a candidate-restricted score decides.
        text: plain text; trained whole.
        cut: where tokens are left out of a prompt that is too long: ``"left"`` its beginning, ``"middle"`` its middle;
            empty: nowhere, it is refused. The completion is never cut.
        max_prompt: greatest number of tokens of the prompt, wherever a model answers it; None: what it can see. Routers
            look at all of it.
    """

    name: str
    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    completion: str | None = None
    choices: tuple[str, ...] = ()
    text: str | None = None
    cut: Literal["", "left", "middle"] = ""
    max_prompt: int | None = None


class Skill(ABC):
    """One unit of competence: where its examples come from and how answers are scored.

    Attributes:
        metric: how an answer is scored; see ``growlm.skills._metric``.
        scoring: how a model is asked for its answer.
        max_answer_tokens: how long a generated answer may become.
    """

    metric: Metric
    scoring: Scoring = "generation"
    max_answer_tokens: int = 96

    @abstractmethod
    def examples(self, split: Split) -> Iterator[Example]:
        """Yields the split's examples, always the same ones in the same order.

        Args:
            split: which part; the three never share an example.

        Yields:
            The examples.
        """

    def scored_by(self, metric: Metric) -> "Skill":
        """Gives the same skill with another metric.

        Args:
            metric: one of ``growlm.skills._metric.OF_ANY_SKILL``.

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
        """Computes what guessing among the choices would score.

        Args:
            split: the split that is scored.

        Returns:
            The mean over scored answers of one over the number of choices; an answer without choices counts as 0.
        """
        shares = [1 / len(choices) if choices else 0.0 for _, choices in self._scored(split)]
        return sum(shares) / len(shares) if shares else 0.0

    def majority(self, split: Split = "test") -> float:
        """Computes what the best constant answer would score.

        Args:
            split: the split that is scored.

        Returns:
            The greatest share of the scored answers that one and the same answer of the split gets right.
        """
        answers = Counter(answer for answer, _ in self._scored(split))
        return max(answers.values(), default=0) / max(1, answers.total())

    def _scored(self, split: Split) -> Iterator[tuple[object, tuple[str, ...]]]:
        for example in self.examples(split):
            if example.completion is not None:
                yield example.completion, example.choices
            for message in example.messages:
                if message.expected:
                    yield message.expected, message.choices

    @classmethod
    def missing_data(cls, options: Mapping[str, Any]) -> str | None:
        """Names what a skill with these options would read and that is not there, without reading anything.

        Args:
            options: the constructor's arguments.

        Returns:
            The file or folder that is missing; None if nothing is, or nothing is read.
        """
        return None

    def digest(self, split: Split) -> str:
        """Computes the SHA-256 of a split's examples, as hex."""
        digest = hashlib.sha256()
        for example in self.examples(split):
            content = asdict(example)
            for key in ("cut", "max_prompt"):
                if not content[key]:  # as before there were any that are cut
                    del content[key]
            digest.update(json.dumps(content, ensure_ascii=False).encode())
            digest.update(b"\n")
        return digest.hexdigest()


def _holds(reply: str, phrase: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", reply, re.IGNORECASE) is not None
