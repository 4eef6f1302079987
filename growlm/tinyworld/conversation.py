"""A conversation in the making: what the user has told and what has been said."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from growlm.data.example import Message
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.dice import Dice
from growlm.tinyworld.questions import Question
from growlm.tinyworld.tale import Tale

_CARELESS = 0.12


@dataclass
class Conversation:
    """A conversation.

    Args:
        dice: the example's chance.
        cast: where names and words come from.
        you: the user's name, once it has been told.
        facts: what the user has told of themselves: what it is about, such as ``"favorite food"``, and what was told.
        fresh: the facts told in the last exchange, too new to be asked back.
        tale: the story told last.
        open_questions: what can still be asked about it.
        messages: what has been said.
    """

    dice: Dice
    cast: Cast
    you: str | None = None
    facts: dict[str, str] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)
    tale: Tale | None = None
    open_questions: list[Question] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def exchange(
        self,
        asked: Sequence[str],
        replies: Sequence[str],
        expected: Sequence[str | tuple[str, ...]] = (),
        choices: tuple[str, ...] = (),
        **slots: str,
    ) -> None:
        """Adds one turn of the user and the reply to it.

        Every reply calls the user by name once the name is known, and a scored one is expected to.

        Args:
            asked: wordings of the user's turn.
            replies: wordings of the reply; ``{you}`` stands where the user may be addressed.
            expected: what the reply must hold; a tuple lists alternatives.
            choices: what could have been answered instead.
            slots: what the other braces stand for.
        """
        user = self.dice.pick(asked).format(**slots)
        reply = self.dice.pick(replies).format(you=f", {self.you}" if self.you else "", **slots)
        wanted = [(entry,) if isinstance(entry, str) else entry for entry in expected]
        if choices and not set(choices) & set(wanted[0]):
            choices = (*choices, wanted[0][0])
        if self.you and not any(self.you in entry for entry in wanted):
            wanted.append((self.you,))
        self.messages += [
            Message("user", self._typed(user)),
            Message("assistant", reply, tuple(wanted), choices),
        ]

    def _typed(self, text: str) -> str:
        """Types as people do: now and then without capitals and the last stop."""
        if self.dice.chance(_CARELESS):
            return text.lower().rstrip(".!?")
        return text
