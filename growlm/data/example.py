"""Examples: what a skill trains and is scored on."""

import re
from dataclasses import dataclass
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
        choices: for a scored turn, the answers among which a guess would be made, where there are few; each is a
            string that may occur in ``expected``.
    """

    role: Literal["user", "assistant"]
    content: str
    expected: tuple[tuple[str, ...], ...] = ()
    choices: tuple[str, ...] = ()

    def accepts(self, reply: str) -> bool:
        """Return whether a reply holds, for each entry of ``expected``, one alternative as whole words, in any case."""
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


def _holds(reply: str, phrase: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", reply, re.IGNORECASE) is not None
