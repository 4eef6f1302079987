"""Plain documents read from a file."""

import json
from collections.abc import Iterator
from pathlib import Path

from growlm.errors import GrowlmError

SEPARATOR = "<|endoftext|>"


def read_documents(path: Path, field: str = "text") -> Iterator[str]:
    """Yield the documents of a file, stripped of surrounding white space, without empty ones.

    Args:
        path: a ``.jsonl`` file with one document a line, or plain text with ``<|endoftext|>`` between documents.
        field: the key of a JSON line that holds the text.

    Raises:
        GrowlmError: if the file is missing or a line has no such key.
    """
    if not path.is_file():
        raise GrowlmError(f"{path} is missing: give the path of a text or .jsonl file")
    documents = _json_lines(path, field) if path.suffix == ".jsonl" else _separated(path)
    yield from (text for document in documents if (text := document.strip()))


def _json_lines(path: Path, field: str) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield str(json.loads(line)[field])
            except (ValueError, KeyError, TypeError, RecursionError):
                raise GrowlmError(f"{path}, line {number}: no JSON object with {field!r}") from None


def _separated(path: Path) -> Iterator[str]:
    lines: list[str] = []
    with path.open(encoding="utf-8") as handle:
        for line in handle:
            *ended, rest = line.split(SEPARATOR)
            for part in ended:
                yield "".join(lines) + part
                lines = []
            lines.append(rest)
    yield "".join(lines)
