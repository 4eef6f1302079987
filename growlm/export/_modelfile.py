"""A Modelfile for Ollama, and what Ollama makes of it: https://docs.ollama.com/modelfile.

Its template is one of Go's, of which this writes the smallest part: a loop over the messages, a choice by role, and the
content. Ollama puts the Modelfile's SYSTEM before a conversation that begins with no system turn of its own.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from growlm.errors import GrowlmError

Conversation = Sequence[tuple[str, str]]
"""Turns, each a role and its content."""

_ACTION = re.compile(r"\{\{ (.*?) \}\}")
_CHOICE = re.compile(r'(?:else )?if eq \.Role "(.*)"')


@dataclass(frozen=True)
class Turns:
    """What a chat template writes.

    Args:
        head: before the first turn.
        around: by role, before and after a turn's content.
        ask: after the last turn, where the answer begins.
        system: content of the system turn that it adds to a conversation without one; None: it adds none.
    """

    head: str
    around: dict[str, tuple[str, str]]
    ask: str
    system: str | None = None


def modelfile(weights: str, turns: Turns, stops: Sequence[str]) -> str:
    """Write a Modelfile.

    Args:
        weights: name of the file of weights, in the same folder.
        turns: what the template writes.
        stops: texts that end an answer.

    Returns:
        The text.

    Raises:
        GrowlmError: if the template writes something that would mean something else there.
    """
    literal = "".join((turns.head, turns.ask, turns.system or "", *stops, *map("".join, turns.around.values())))
    # Ollama's reader leaves out what cannot be printed
    if "{{" in literal or '"""' in literal or not literal.replace("\n", "").replace("\t", "").isprintable():
        raise GrowlmError("the base's chat template has text that no Modelfile can hold: export with --to gguf")
    chosen = " else ".join(
        f'if eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}{{{{'
        for role, (before, after) in turns.around.items()
    )
    template = f"{turns.head}{{{{ range .Messages }}}}{{{{ {chosen} end }}}}{{{{ end }}}}{turns.ask}"
    lines = [f"FROM ./{weights}", f'TEMPLATE """{template}"""']
    lines += [f'SYSTEM """{turns.system}"""'] if turns.system is not None else []
    return "\n".join([*lines, *(f'PARAMETER stop "{stop}"' for stop in stops), ""])


def render(text: str, conversation: Conversation) -> str:
    """Render a conversation as Ollama does, from a Modelfile that ``modelfile`` wrote.

    Args:
        text: the Modelfile.
        conversation: the turns, no two of one role in a row.

    Returns:
        What the model is given.
    """
    template, system = (re.search(rf'^{word} """(.*?)"""$', text, re.DOTALL | re.MULTILINE) for word in _HELD)
    assert template is not None
    if system is not None and conversation[0][0] != "system":
        conversation = [("system", system[1]), *conversation]
    parts = _ACTION.split(template[1])  # texts, and between them the actions
    first, last = parts.index("range .Messages"), len(parts) - 2
    assert parts[last] == "end"
    turns = [piece for turn in conversation for piece in _turn(parts[first + 2 : last], *turn)]
    return "".join(parts[0:first]) + "".join(turns) + parts[last + 1]


_HELD = ("TEMPLATE", "SYSTEM")


def _turn(parts: Sequence[str], role: str, content: str) -> Iterator[str]:
    """Yield what the body of the loop writes for one message; ``parts`` are actions and texts in turn."""
    chosen = written = False
    for action, text in zip(parts[::2], parts[1::2], strict=True):
        if choice := _CHOICE.fullmatch(action):
            chosen = choice[1] == role and not written
            written = written or chosen
        elif action == "end":
            chosen = False
        elif chosen:
            assert action == ".Content"
            yield content
        if chosen:
            yield text
