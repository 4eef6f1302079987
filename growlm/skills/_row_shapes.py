"""From a row of a user's file to an example, in whichever shape the row has."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from growlm.data.example import Example, Message
from growlm.errors import GrowlmError, unknown_name

SHAPES = {"messages": ("messages",), "turns": ("turns",), "completion": ("prompt", "completion"), "text": ("text",)}
"""Shapes by name, with the keys that each needs."""

_FIELDS = ("messages", "turns", "prompt", "completion", "choices", "text", "role", "content")
_SHAREGPT = {"messages": "conversations", "role": "from", "content": "value"}
_ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant"}
_WEIGHTS = ("weight", "train", "trainable", "loss")
_WANTED = "'messages', 'turns', 'prompt' with 'completion', or 'text'"


class RowReader:
    """Turns rows into examples.

    Args:
        fields: for each of our names, the key that the rows use instead. Left out, rows with ``conversations`` are read
            as ShareGPT's: ``from`` and ``value``, ``human`` and ``gpt``.
        ignored: further keys that rows may have.

    Attributes:
        unused: keys of rows and turns that nothing is made of, with how many times each came.

    Raises:
        GrowlmError: for a name that is none of ours.
    """

    def __init__(self, fields: Mapping[str, str] | None, ignored: tuple[str, ...] = ()) -> None:
        self.unused: Counter[str] = Counter()
        self._given = bool(fields)
        self._ignored = ignored
        self.fields = {name: name for name in _FIELDS}
        for name, key in (fields or {}).items():
            if name not in self.fields:
                raise unknown_name("name in fields", name, _FIELDS)
            self.fields[name] = key
        # a mapped shape is meant, whatever other keys the rows have
        self._mapped = [shape for shape, names in SHAPES.items() if set(names) & set(fields or ())]

    def shape(self, row: Mapping[str, Any], where: str) -> str:
        """Return which shape a row has.

        Args:
            row: the row.
            where: file and line, for messages.

        Raises:
            GrowlmError: if it has none or several.
        """
        if not self._given and isinstance(row.get("conversations"), list):
            self.fields |= _SHAREGPT
            self._given = True
        candidates = self._mapped or list(SHAPES)
        # null is as good as absent
        found = [shape for shape in candidates if any(row.get(self.fields[name]) is not None for name in SHAPES[shape])]
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
        """Turn a row into an example.

        Args:
            row: the row.
            name: the example's name.
            where: file and line, for messages.

        Raises:
            GrowlmError: if something of it is missing, empty, of the wrong type or in the wrong order.
        """
        shape = self.shape(row, where)
        known = {self.fields[key] for key in (*SHAPES[shape], "choices")} | set(self._ignored)
        self.unused.update(key for key, value in row.items() if key not in known and value is not None)
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
        entries = self._list(row, "messages", where)
        system = bool(entries) and isinstance(entries[0], dict) and entries[0].get(self.fields["role"]) == "system"
        for number, turn in enumerate(entries, 1):
            at = f"{where}, turn {number}"
            if not isinstance(turn, dict):
                raise GrowlmError(f"{at}: no object; write {{'role': ..., 'content': ...}}")
            wanted = "system" if system and number == 1 else "user" if (number - system) % 2 else "assistant"
            given = turn.get(self.fields["role"])
            role = _ROLES.get(given, given) if isinstance(given, str) else given
            if role != wanted:
                raise GrowlmError(
                    f"{at}: role {given!r} instead of {wanted!r}; roles alternate, beginning with 'user', after at "
                    "most one 'system'"
                )
            content = self._content(turn, at)
            # an answer is as it is: its white space may matter
            trained = wanted != "assistant" or _is_trained(turn, at)
            text = content if wanted == "assistant" else content.strip()
            messages.append(Message(wanted, text, trained=trained))  # type: ignore[arg-type]
            known = {self.fields["role"], self.fields["content"], *_WEIGHTS}
            self.unused.update(key for key, value in turn.items() if key not in known and value is not None)
        return _answered(messages, where)

    def _content(self, turn: Mapping[str, Any], where: str) -> str:
        """Return a turn's text; a list of parts is joined if all are text."""
        key = self.fields["content"]
        content = turn.get(key)
        if key in turn and content is None:
            raise GrowlmError(f"{where}: {key!r} is null; give text, or take the conversation out")
        if not isinstance(content, list):
            return self._string(turn, "content", where)
        for part in content:
            sort = part.get("type") if isinstance(part, dict) else type(part).__name__
            if sort != "text" or not isinstance(part.get("text"), str):
                raise GrowlmError(f"{where}: {key!r} has a part of type {sort!r}; only text can be trained")
        return _checked("".join(part["text"] for part in content), f"{where}: {key!r}")

    def _turns(self, row: Mapping[str, Any], where: str) -> tuple[Message, ...]:
        messages: list[Message] = []
        for number, turn in enumerate(self._list(row, "turns", where), 1):
            content = _checked(turn, f"{where}, turn {number}")
            messages.append(Message("user", content.strip()) if number % 2 else Message("assistant", content))
        return _answered(messages, where)

    def _choices(self, row: Mapping[str, Any], completion: str, where: str) -> tuple[str, ...]:
        if row.get(self.fields["choices"]) is None:
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
    """Return text that is not empty and can be written as UTF-8; refuse anything else."""
    if not isinstance(content, str):
        raise GrowlmError(f"{where} is no string; put it in quotes")
    if not content.strip():
        raise GrowlmError(f"{where} is empty; fill it or take the line out")
    try:
        content.encode()
    except UnicodeEncodeError:
        raise GrowlmError(f"{where} holds half of a surrogate pair; correct the line") from None
    return content


def _is_trained(turn: Mapping[str, Any], where: str) -> bool:
    """Return whether a turn is trained, as it says under one of several names; 1 and true mean so, 0 and false not."""
    for key in _WEIGHTS:
        value = turn.get(key)
        if value is not None:
            if value not in (0, 1):
                raise GrowlmError(f"{where}: {key!r} is {value!r}; give 0 or 1, a turn is trained or not")
            return bool(value)
    return True


def _answered(messages: list[Message], where: str) -> tuple[Message, ...]:
    """Drop a last turn of the user, which nobody answers."""
    if messages[-1].role == "user":
        messages = messages[:-1]
    if not any(message.role == "assistant" for message in messages):
        raise GrowlmError(f"{where}: no turn of the assistant; a conversation needs an answer")
    return tuple(messages)
