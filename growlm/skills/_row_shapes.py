"""From a row of a user's file to an example, in whichever shape the row has."""

from collections.abc import Mapping
from typing import Any

from growlm.data.example import Example, Message
from growlm.errors import GrowlmError, unknown_name

SHAPES = {"messages": ("messages",), "turns": ("turns",), "completion": ("prompt", "completion"), "text": ("text",)}
"""Shapes by name, with the keys that each needs."""

_FIELDS = ("messages", "turns", "prompt", "completion", "choices", "text", "role", "content")
_WANTED = "'messages', 'turns', 'prompt' with 'completion', or 'text'"


class RowReader:
    """Turns rows into examples.

    Args:
        fields: for each of our names, the key that the rows use instead.

    Raises:
        GrowlmError: for a name that is none of ours.
    """

    def __init__(self, fields: Mapping[str, str] | None) -> None:
        self.fields = {name: name for name in _FIELDS}
        for name, key in (fields or {}).items():
            if name not in self.fields:
                raise unknown_name("name in fields", name, _FIELDS)
            self.fields[name] = key
        # a mapped shape is meant, whatever other keys the rows have
        self._mapped = [shape for shape, names in SHAPES.items() if set(names) & set(fields or ())]

    def shape(self, row: Mapping[str, Any], where: str) -> str:
        """Tells which shape a row has.

        Args:
            row: the row.
            where: file and line, for messages.

        Raises:
            GrowlmError: if it has none or several.
        """
        candidates = self._mapped or list(SHAPES)
        found = [shape for shape in candidates if any(self.fields[name] in row for name in SHAPES[shape])]
        if len(found) > 1:
            raise GrowlmError(
                f"{where}: several shapes at once ({', '.join(map(repr, found))}); give one, or name its keys in fields"
            )
        if not found:
            keys = ", ".join(map(repr, row)) or "none"
            hint = " as fields says" if self._mapped else f": {_WANTED}; or name them in fields"
            raise GrowlmError(f"{where}: the keys needed are missing (found: {keys}); give them{hint}")
        return found[0]

    def example(self, row: Mapping[str, Any], name: str, where: str) -> Example:
        """Turns a row into an example.

        Args:
            row: the row.
            name: the example's name.
            where: file and line, for messages.

        Raises:
            GrowlmError: if something of it is missing, empty, of the wrong type or in the wrong order.
        """
        shape = self.shape(row, where)
        if shape == "messages":
            return Example(name, messages=self._messages(row, where))
        if shape == "turns":
            return Example(name, messages=self._turns(row, where))
        if shape == "text":
            return Example(name, text=self._string(row, "text", where).strip())
        prompt, completion = (self._string(row, key, where) for key in ("prompt", "completion"))
        return Example(name, prompt=prompt, completion=completion, choices=self._choices(row, completion, where))

    def _messages(self, row: Mapping[str, Any], where: str) -> tuple[Message, ...]:
        messages: list[Message] = []
        for number, turn in enumerate(self._list(row, "messages", where), 1):
            at = f"{where}, turn {number}"
            if not isinstance(turn, dict):
                raise GrowlmError(f"{at}: no object; write {{'role': ..., 'content': ...}}")
            wanted = "user" if number % 2 else "assistant"
            role = turn.get(self.fields["role"])
            if role != wanted:
                raise GrowlmError(
                    f"{at}: role {role!r} instead of {wanted!r}; roles alternate, beginning with 'user'"
                    + ("; put a system message into the first user's turn" if role == "system" else "")
                )
            messages.append(Message(wanted, self._string(turn, "content", at).strip()))  # type: ignore[arg-type]
        return _answered(messages, where)

    def _turns(self, row: Mapping[str, Any], where: str) -> tuple[Message, ...]:
        messages: list[Message] = []
        for number, turn in enumerate(self._list(row, "turns", where), 1):
            content = _checked(turn, f"{where}, turn {number}")
            messages.append(Message("user" if number % 2 else "assistant", content.strip()))
        return _answered(messages, where)

    def _choices(self, row: Mapping[str, Any], completion: str, where: str) -> tuple[str, ...]:
        if self.fields["choices"] not in row:
            return ()
        choices = self._list(row, "choices", where)
        checked = tuple(_checked(choice, f"{where}, choice {number}") for number, choice in enumerate(choices, 1))
        if completion not in checked:
            raise GrowlmError(f"{where}: the completion {completion!r} is none of the choices; add it to them")
        return checked

    def _string(self, row: Mapping[str, Any], name: str, where: str) -> str:
        key = self.fields[name]
        if key not in row:
            raise GrowlmError(f"{where}: {key!r} is missing; add it, or name its key in fields")
        return _checked(row[key], f"{where}: {key!r}")

    def _list(self, row: Mapping[str, Any], name: str, where: str) -> list[Any]:
        content = row[self.fields[name]]
        if not isinstance(content, list) or not content:
            raise GrowlmError(f"{where}: {self.fields[name]!r} is no list with entries; give at least one")
        return content


def _checked(content: object, where: str) -> str:
    """Lets only text through that says something and can be written as UTF-8."""
    if not isinstance(content, str):
        raise GrowlmError(f"{where} is no string; put it in quotes")
    if not content.strip():
        raise GrowlmError(f"{where} is empty; fill it or take the line out")
    try:
        content.encode()
    except UnicodeEncodeError:
        raise GrowlmError(f"{where} holds half of a surrogate pair; mend the line") from None
    return content


def _answered(messages: list[Message], where: str) -> tuple[Message, ...]:
    """Drops a last turn of the user, which nobody answers."""
    if messages[-1].role == "user":
        messages = messages[:-1]
    if not messages:
        raise GrowlmError(f"{where}: no turn of the assistant; a conversation needs an answer")
    return tuple(messages)
