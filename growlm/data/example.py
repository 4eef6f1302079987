"""Examples: what a skill trains and is scored on."""

import re
from dataclasses import dataclass, field
from typing import Literal

Split = Literal["train", "validation", "test"]

_MOST_TIMES, _MOST_WORDS = 2, 12


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Args:
        role: ``"user"`` or ``"assistant"``; ``"system"`` for a first turn that sets the scene, ``"tool"`` for a tool's
            answer.
        content: what is said.
        expected: for a test's assistant turn, what a reply must contain to count as right; each entry lists
            alternatives of which one suffices. Empty: the turn is not scored.
        choices: for a scored turn, the answers among which a guess would be made, where there are few; each is a
            string that may occur in ``expected``.
        sort: what sort of question it answers, to split scores by; empty: none.
        trained: whether an assistant's turn is trained; if not, it is only read.
        extra: what a chat template gets of the turn besides, such as ``tool_calls``, as a JSON object; empty: nothing.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    expected: tuple[tuple[str, ...], ...] = ()
    choices: tuple[str, ...] = ()
    sort: str = ""
    trained: bool = True
    extra: str = field(default="", repr=False)

    def accepts(self, reply: str) -> bool:
        """Return whether a reply holds, for each entry of ``expected``, one alternative as whole words, in any case.

        A reply does not win by listing: it may hold no other choice, unless ``content`` does, and not be much longer
        than ``content``. A number is whole: ``7.5`` does not hold ``7``.
        """
        others = [choice for choice in self.choices if not _holds(self.content, choice)]
        return (
            all(any(_holds(reply, phrase) for phrase in alternatives) for alternatives in self.expected)
            and not any(_holds(reply, choice) for choice in others)
            and len(reply.split()) <= _MOST_TIMES * len(self.content.split()) + _MOST_WORDS
        )

    def ends_with(self, reply: str) -> bool:
        """Return whether the last clause of a reply is what is expected, whatever work comes before it.

        Clauses are what ``.``, ``!``, ``?`` and line ends part; case, white space and the stop at the end do not count.
        Of several entries of ``expected``, each has to be a whole clause, in this order, the last one the last clause,
        and no clause may be that of another choice.
        """
        found = clauses(reply)
        wanted = [[clause for phrase in entry for clause in clauses(phrase)] for entry in self.expected]
        if not found or not wanted or found[-1] not in wanted[-1]:
            return False
        rest = iter(found[:-1])
        right = {clause for entry in wanted for clause in entry}
        others = {clause for choice in self.choices for clause in clauses(choice)} - right
        return all(any(clause in entry for clause in rest) for entry in wanted[:-1]) and (
            len(wanted) == 1 or not others & set(found)
        )


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
        tools: descriptions of the tools of a conversation, as a JSON list for the chat template; empty: none.
    """

    name: str
    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    completion: str | None = None
    choices: tuple[str, ...] = ()
    text: str | None = None
    cut: Literal["", "left", "middle"] = ""
    max_prompt: int | None = None
    tools: str = field(default="", repr=False)


def clauses(text: str) -> list[str]:
    """Split a text into its clauses, in small letters, without their stops and with single spaces."""
    parts = re.split(r"[.!?]+(?=\s|$)|\n", text.lower())
    return [" ".join(part.split()) for part in parts if part.strip()]


def _holds(reply: str, phrase: str) -> bool:
    # a point or comma between digits is inside a number
    return re.search(rf"(?<!\w)(?<!\d[.,]){re.escape(phrase)}(?!\w|[.,]\d)", reply, re.IGNORECASE) is not None
