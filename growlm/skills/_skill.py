"""What a skill is: a source of examples with a metric."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Args:
        role: ``"user"`` or ``"assistant"``.
        content: what is said.
        expected: for a test's assistant turn, what a reply must contain to count as right; each entry lists
            alternatives of which one suffices. Empty: the turn is not scored.
    """

    role: Literal["user", "assistant"]
    content: str
    expected: tuple[tuple[str, ...], ...] = ()


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
    """

    name: str
    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    completion: str | None = None
    choices: tuple[str, ...] = ()
    text: str | None = None


class Skill(ABC):
    """One unit of competence: where its examples come from and how answers are scored.

    Attributes:
        metric: ``"contains"`` (share of scored replies that hold what was expected), ``"exact_match"`` (share of
            completions reproduced) or ``"bits_per_byte"`` (plain text; lower is better).
    """

    metric: Literal["contains", "exact_match", "bits_per_byte"]

    @abstractmethod
    def examples(self, split: Split) -> Iterator[Example]:
        """Yields the split's examples, always the same ones in the same order.

        Args:
            split: which part; the three never share an example.

        Yields:
            The examples.
        """

    def digest(self, split: Split) -> str:
        """Computes the SHA-256 of a split's examples, as hex."""
        digest = hashlib.sha256()
        for example in self.examples(split):
            digest.update(json.dumps(asdict(example), ensure_ascii=False).encode())
            digest.update(b"\n")
        return digest.hexdigest()
