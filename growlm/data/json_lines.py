"""Reading JSON: every line an object, or an error that names file and line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from growlm.data.compressed import opened
from growlm.errors import GrowlmError

MAX_ROW_BYTES = 1_000_000


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a ``.jsonl`` file, compressed or not.

    Args:
        path: the file; lines that hold nothing but white space are passed over.

    Yields:
        The line's number, from 1, and its object.

    Raises:
        GrowlmError: if the file is missing, damaged or empty, or a line is not UTF-8 or not a JSON object.
    """
    if not path.is_file():
        raise GrowlmError(f"{path} is missing: give the path of a .jsonl file, compressed or not")
    found = False
    with opened(path) as lines:
        for number, line in numbered_lines(lines):
            where = f"{path}, line {number}"
            text = row_text(line, number, where)
            if text.strip():
                found = True
                yield number, json_object(text, where)
    if not found:
        raise GrowlmError(f"{path} is empty: give a file with one JSON object per line")


def numbered_lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file with their numbers, from 1; of a line that is too long to be a row, its beginning."""
    number = 1
    while line := file.readline(MAX_ROW_BYTES + 1):
        yield number, line
        while len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):  # the rest of it
            line = file.readline(MAX_ROW_BYTES + 1)
        number += 1


def row_text(line: bytes, number: int, where: str) -> str:
    """Decode a line that holds a row; see ``line_text``.

    Raises:
        GrowlmError: if it is too long to be a row, or not UTF-8.
    """
    if len(line) > MAX_ROW_BYTES:
        raise GrowlmError(f"{where}: longer than {MAX_ROW_BYTES:,} bytes; break it into several rows")
    return line_text(line, number, where)


def line_text(line: bytes, number: int, where: str) -> str:
    """Decode a line.

    Args:
        line: the line.
        number: its number; the first may begin with a BOM.
        where: file and line, for messages.

    Raises:
        GrowlmError: if it is not UTF-8.
    """
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise GrowlmError(f"{where}: no UTF-8 text ({error.reason} at byte {error.start}); convert it") from None


def json_object(text: str, where: str) -> dict[str, Any]:
    """Parse a JSON object, each key of which comes once.

    Raises:
        GrowlmError: if it is anything else.
    """
    content = json_value(text, where)
    if not isinstance(content, dict):
        raise GrowlmError(f"{where}: {_sort(content)} instead of an object; write {{...}}")
    return content


def json_value(text: str, where: str) -> Any:
    """Parse JSON in whose objects each key comes once.

    Raises:
        GrowlmError: if it is anything else.
    """
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, where))
    except json.JSONDecodeError as error:
        raise GrowlmError(f"{where}: no JSON ({error.msg} at character {error.pos + 1}); correct the line") from None
    except ValueError:  # more digits than Python converts
        raise GrowlmError(f"{where}: no usable JSON (a number has too many digits); correct the line") from None
    except RecursionError:
        raise GrowlmError(f"{where}: no usable JSON (nested too deeply); correct the line") from None


def _unique(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    """Make a JSON object of its pairs, each key once."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise GrowlmError(f"{where}: the key {twice!r} comes twice in one object; keep one of them")
    return content


def _sort(content: object) -> str:
    """Name what a JSON value is."""
    if content is None:
        return "null"
    names = {bool: "a truth value", str: "a string", list: "a list", dict: "an object", int: "a number"}
    return names.get(type(content), "a number")
