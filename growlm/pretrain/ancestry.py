"""What an expanded base began as: the smaller bases before it, and what each of them had learned from."""

from pathlib import Path
from typing import Any

from growlm.base.load import find_base
from growlm.errors import GrowlmError
from growlm.files import read_json

_RECORD = "training.json"
_KEPT = ("name", "size", "parameters", "tokens_seen", "sources", "run")


def ancestors(base: str | None) -> list[dict[str, Any]]:
    """Follow the smaller bases that a base began as, by the records that their trainings left.

    Args:
        base: the smaller base, by name or folder; None: there is none.

    Returns:
        What is known of each, the nearest first: ``name``, ``size``, ``parameters``, ``tokens_seen``, ``sources`` and
        ``run``; the name alone of one that has no record.

    Raises:
        GrowlmError: if one of them is not there or its record is damaged.
    """
    found: list[dict[str, Any]] = []
    followed: set[str] = set()
    while base is not None and base not in followed:
        followed.add(base)
        file = Path(find_base(base)) / _RECORD
        record = read_json(file) if file.is_file() else {"name": base}
        if not isinstance(record, dict):
            raise GrowlmError(f"{file} is no record of a training, but {record!r:.60}: restore it from a copy")
        found.append({key: record[key] for key in _KEPT if key in record})
        base = record.get("expanded")
    return found
