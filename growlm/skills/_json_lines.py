"""Reading JSON lines: every line an object, or an error that names file and line."""

import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from growlm.errors import GrowlmError

MAX_ROW_BYTES = 1_000_000


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a ``.jsonl`` or ``.jsonl.xz`` file.

    Args:
        path: the file; lines that hold nothing but white space are passed over.

    Yields:
        The line's number, from 1, and its object.

    Raises:
        GrowlmError: if the file is missing, damaged or empty, or a line is no UTF-8 or no JSON object.
    """
    found = False
    for number, line in _lines(path):
        where = f"{path}, line {number}"
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise GrowlmError(f"{where}: no UTF-8 text ({error.reason} at byte {error.start}); convert it") from None
        if not text.strip():
            continue
        found = True
        yield number, _object(text, where)
    if not found:
        raise GrowlmError(f"{path} is empty: give a file with one JSON object per line")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    if not path.is_file():
        raise GrowlmError(f"{path} is missing: give the path of a .jsonl or .jsonl.xz file")
    try:
        with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as lines:
            number = 1
            while line := lines.readline(MAX_ROW_BYTES + 1):
                if len(line) > MAX_ROW_BYTES:
                    raise GrowlmError(
                        f"{path}, line {number}: longer than {MAX_ROW_BYTES:,} bytes; break it into several rows"
                    )
                yield number, line
                number += 1
    except (lzma.LZMAError, EOFError) as error:
        raise GrowlmError(f"{path} is no whole .xz file ({error}): restore it from a copy") from None
    except PermissionError:
        raise GrowlmError(f"{path} cannot be read: give yourself permission to read it") from None


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, where))
    except json.JSONDecodeError as error:
        raise GrowlmError(f"{where}: no JSON ({error.msg} at character {error.pos + 1}); correct the line") from None
    except RecursionError:
        raise GrowlmError(f"{where}: no usable JSON (nested too deeply); correct the line") from None
    if not isinstance(content, dict):
        raise GrowlmError(f"{where}: {_sort(content)} instead of an object; write {{...}}")
    return content


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
