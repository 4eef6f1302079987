"""From a row of a user's file to an example, in whichever shape the row has."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from growlm.data.example import Example, Message
from growlm.errors import GrowlmError, unknown_name

SHAPES = {
    "messages": ("messages",),
    "turns": ("turns",),
    "completion": ("prompt", "completion"),
    "text": ("text",),
    "preference": ("chosen", "rejected"),
    "instruction": ("instruction", "output"),
}
"""Shapes by name, with the keys that each needs."""
NAMES = {
    "messages": ("conversation (OpenAI messages)", "conversations (OpenAI messages)"),
    "turns": ("conversation (list of turns)", "conversations (lists of turns)"),
    "completion": ("prompt with completion", "prompts with completions"),
    "text": ("text", "texts"),
    "preference": (
        "preference pair, of which the chosen side is trained",
        "preference pairs, of which the chosen side is trained",
    ),
    "instruction": ("instruction with answer (Alpaca)", "instructions with answers (Alpaca)"),
}
"""What a row of a shape is called, and what several are."""

_FIELDS = (
    *("messages", "turns", "prompt", "completion", "choices", "text", "role", "content"),
    *("chosen", "rejected", "instruction", "input", "output", "tools"),
)
_SHAREGPT_NAMES = ("conversation (ShareGPT)", "conversations (ShareGPT)")
_SHAREGPT = {"messages": "conversations", "role": "from", "content": "value"}
_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "developer": "system",
    "function": "tool",
    "observation": "tool",
}
_CALL = "function_call"
"""ShareGPT's role of an assistant's turn whose content is its tool calls as JSON."""
_FOLLOWING = {
    None: ("user", "assistant"),
    "system": ("user", "assistant"),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}
"""Which roles may follow a role; None: the beginning, where a system turn may come, too."""
_WEIGHTS = ("weight", "train", "trainable", "loss")
_OF_TURNS = ("tool_calls", "tool_call_id", "name")
"""Further keys of a turn that a chat template may use."""
_OPTIONAL = {"messages": ("tools",), "completion": ("choices",), "preference": ("prompt",), "instruction": ("input",)}
_WANTED = "'messages', 'turns', 'prompt' with 'completion', 'instruction' with 'output', or 'text'"
_FIELDS_GIVEN = """--skill_options '{"fields": {"prompt": "question", "completion": "answer"}}'"""
_DEFAULT_TEMPLATE = "{instruction}\n\n{input}"


class RowReader:
    """Turns rows into examples.

    Args:
        fields: for each of our names, the key that the rows use instead. Left out, rows with ``conversations`` are read
            as ShareGPT's: ``from`` and ``value``, ``human`` and ``gpt``.
        ignored: further keys that rows may have.
        template: how the user's turn is made of ``{instruction}`` and ``{input}``, for rows that have an input.
        strict: refuse keys that nothing is made of.

    Attributes:
        unused: keys of rows and turns that nothing is made of, with how many times each came.
        found: what was found besides, such as ``system turn``, with how many times each came.

    Raises:
        GrowlmError: for a name that is none of ours.
    """

    def __init__(
        self,
        fields: Mapping[str, str] | None,
        ignored: tuple[str, ...] = (),
        template: str | None = None,
        strict: bool = False,
    ) -> None:
        self.unused: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        self._given = bool(fields)
        self._ignored = ignored
        self._strict = strict
        self._template = template or _DEFAULT_TEMPLATE
        if "{instruction}" not in self._template or "{input}" not in self._template:
            raise GrowlmError(f"template {template!r} has not both places: write {{instruction}} and {{input}} into it")
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
        # null is as good as absent
        for shape in ("preference", "instruction"):  # their rows have a prompt or a text besides
            if not self._mapped and all(row.get(self.fields[name]) is not None for name in SHAPES[shape]):
                return shape
        candidates = self._mapped or [shape for shape in SHAPES if shape not in ("preference", "instruction")]
        found = [shape for shape in candidates if any(row.get(self.fields[name]) is not None for name in SHAPES[shape])]
        if len(found) > 1:
            raise GrowlmError(
                f"{where}: several shapes at once ({', '.join(map(repr, found))}); give one, or name its keys in fields"
            )
        if not found:
            keys = ", ".join(map(repr, row)) or "none"
            hint = (
                " as fields says" if self._mapped else f": {_WANTED}; or name them in fields, such as {_FIELDS_GIVEN}"
            )
            raise GrowlmError(f"{where}: the keys needed are missing (found: {keys}); give them{hint}")
        return found[0]

    def names_of(self, shape: str) -> tuple[str, str]:
        """Return what a row of a shape is called, and what several are."""
        sharegpt = shape == "messages" and self.fields["messages"] == _SHAREGPT["messages"]
        return _SHAREGPT_NAMES if sharegpt else NAMES[shape]

    def example(self, row: Mapping[str, Any], name: str, where: str) -> Example:
        """Turn a row into an example.

        Args:
            row: the row.
            name: the example's name.
            where: file and line, for messages.

        Raises:
            GrowlmError: if something of it is missing, empty, of the wrong type, in the wrong order, or not known.
        """
        shape = self.shape(row, where)
        names = (*SHAPES[shape], *_OPTIONAL.get(shape, ()), "choices")
        self._note_unused(row, {self.fields[key] for key in names} | set(self._ignored), where)
        if shape == "messages":
            messages = self._messages(self._list(row, "messages", where), where)
            return Example(name, messages=_answered(messages, where, self.found), tools=self._tools(row, where))
        if shape == "turns":
            return Example(name, messages=self._turns(row, where))
        if shape == "text":
            return Example(name, text=self._string(row, "text", where).strip())
        if shape == "preference":
            return self._dialogue(row, "chosen", name, where)
        if shape == "instruction":
            return Example(name, messages=self._instruction(row, where))
        if isinstance(row.get(self.fields["completion"]), list):
            return self._dialogue(row, "completion", name, where)
        prompt, completion = (self._string(row, key, where) for key in ("prompt", "completion"))
        return Example(name, prompt=prompt, completion=completion, choices=self._choices(row, completion, where))

    def _dialogue(self, row: Mapping[str, Any], key: str, name: str, where: str) -> Example:
        """Build a conversation of prompt and answer under ``key``, each messages or text; the prompt is not trained."""
        prompt = row.get(self.fields["prompt"])
        given = [] if prompt is None else prompt if isinstance(prompt, list) else [self._turn("user", prompt)]
        answer = row[self.fields[key]]
        if not isinstance(answer, list):
            if not given:
                raise GrowlmError(f"{where}: {self.fields[key]!r} is text without a prompt; give 'prompt', or messages")
            answer = [self._turn("assistant", answer)]
        messages = self._messages([*given, *answer], where)
        read = [
            Message(turn.role, turn.content, trained=False, extra=turn.extra) if turn.role == "assistant" else turn
            for turn in messages[: len(given)]
        ]
        return Example(name, messages=_answered([*read, *messages[len(given) :]], where, self.found))

    def _turn(self, role: str, content: Any) -> dict[str, Any]:
        return {self.fields["role"]: role, self.fields["content"]: content}

    def _instruction(self, row: Mapping[str, Any], where: str) -> tuple[Message, ...]:
        instruction, answer = (self._string(row, key, where) for key in ("instruction", "output"))
        given = row.get(self.fields["input"])
        if given is not None and not isinstance(given, str):
            raise GrowlmError(f"{where}: {self.fields['input']!r} is not a string; put it in quotes")
        if given and given.strip():
            self.found["with an input"] += 1
            places = {"{instruction}": instruction.strip(), "{input}": given.strip()}
            head, _, tail = self._template.partition("{instruction}")
            parts = [part.replace("{input}", places["{input}"]) for part in (head, tail)]
            instruction = places["{instruction}"].join(parts)
        return Message("user", instruction.strip()), Message("assistant", answer)

    def _messages(self, entries: list[Any], where: str) -> list[Message]:
        messages: list[Message] = []
        before: str | None = None
        for number, turn in enumerate(entries, 1):
            at = f"{where}, turn {number}"
            if not isinstance(turn, dict):
                raise GrowlmError(f"{at}: no object; write {{'role': ..., 'content': ...}}")
            given = turn.get(self.fields["role"])
            if given == _CALL:
                turn = self._calling(turn, at)
                given = "assistant"
            role = _ROLES.get(given, given) if isinstance(given, str) else given
            if role not in _FOLLOWING[before] and not (before is None and role == "system"):
                wanted = " or ".join(map(repr, _FOLLOWING[before]))
                raise GrowlmError(
                    f"{at}: role {given!r} instead of {wanted}; user and assistant alternate, after at most one "
                    "'system', and a 'tool' answers the assistant"
                )
            extra = {key: turn[key] for key in _OF_TURNS if turn.get(key) is not None}
            content = self._content(turn, at, bool(extra.get("tool_calls")))
            # an answer is as it is: its white space may matter
            trained = role != "assistant" or _is_trained(turn, at)
            text = content if role in ("assistant", "tool") else content.strip()
            written = json.dumps(extra, ensure_ascii=False, sort_keys=True) if extra else ""
            messages.append(Message(role, text, trained=trained, extra=written))  # type: ignore[arg-type]  # checked
            if role in ("system", "tool"):
                self.found[f"{role} turn"] += 1
            self.found["turn of weight 0"] += not trained
            known = {self.fields["role"], self.fields["content"], *_WEIGHTS, *_OF_TURNS}
            self._note_unused(turn, known, at)
            before = str(role)
        self.found["beginning with the assistant"] += next((m.role for m in messages if m.role != "system"), "") == (
            "assistant"
        )
        return messages

    def _calling(self, turn: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Write a turn that is a tool call, or a list of them, as OpenAI's messages have it."""
        key = self.fields["content"]
        calls = turn.get(key)
        try:
            calls = json.loads(calls) if isinstance(calls, str) else calls
        except json.JSONDecodeError:
            calls = None
        calls = calls if isinstance(calls, list) else [calls]
        if not calls or not all(isinstance(call, dict) and {"name", "arguments"} <= set(call) for call in calls):
            raise GrowlmError(
                f"{where}: {key!r} of a {_CALL!r} is no JSON object with 'name' and 'arguments'; give one"
            )
        return {**turn, key: "", "tool_calls": [{"type": "function", "function": call} for call in calls]}

    def _tools(self, row: Mapping[str, Any], where: str) -> str:
        tools = row.get(self.fields["tools"])
        if tools is None:
            return ""
        if isinstance(tools, str):  # tables hold them as JSON
            try:
                tools = json.loads(tools)
            except json.JSONDecodeError:
                raise GrowlmError(
                    f"{where}: {self.fields['tools']!r} is not valid JSON; give a list of tools"
                ) from None
        if not isinstance(tools, list):
            raise GrowlmError(f"{where}: {self.fields['tools']!r} is not a list; give a list of tools")
        self.found["with tools"] += bool(tools)
        return json.dumps(tools, ensure_ascii=False, sort_keys=True) if tools else ""

    def _content(self, turn: Mapping[str, Any], where: str, may_be_empty: bool) -> str:
        """Return a turn's text; a list of parts is joined if all are text."""
        key = self.fields["content"]
        content = turn.get(key)
        if may_be_empty and not content:
            return ""
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
        return _answered(messages, where, self.found)

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
        if isinstance(content, str) and content.lstrip().startswith("["):  # tables hold lists as JSON
            try:
                content = json.loads(content)
            except json.JSONDecodeError:
                raise GrowlmError(f"{where}: {self.fields[name]!r} is not a JSON list; correct it") from None
        if not isinstance(content, list) or not content:
            raise GrowlmError(f"{where}: {self.fields[name]!r} is not a list with entries; give at least one")
        return content

    def _note_unused(self, entry: Mapping[str, Any], known: set[str], where: str) -> None:
        unused = [key for key, value in entry.items() if key not in known and value is not None]
        if unused and self._strict:
            raise GrowlmError(f"{where}: nothing is made of the key {unused[0]!r}; take it out, or leave strict out")
        self.unused.update(unused)


def _checked(content: object, where: str) -> str:
    """Return text that is not empty and can be written as UTF-8; refuse anything else."""
    if not isinstance(content, str):
        raise GrowlmError(f"{where} is not a string; put it in quotes")
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


def _answered(messages: list[Message], where: str, found: Counter[str]) -> tuple[Message, ...]:
    """Drop last turns of the user or a tool, which nobody answers."""
    kept = list(messages)
    while kept and kept[-1].role in ("user", "tool"):
        kept.pop()
    found["last turn without an answer left out"] += len(messages) - len(kept)
    if not any(message.role == "assistant" for message in kept):
        raise GrowlmError(f"{where}: no turn of the assistant; a conversation needs an answer")
    return tuple(kept)
