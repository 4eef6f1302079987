"""Your own data as rows of this Python process: a list of dicts, a ``datasets.Dataset``, an iterator."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from growlm.data.example import Split
from growlm.errors import GrowlmError
from growlm.skills._own_data import SPLITS, OwnData

_KEPT: dict[str, dict[Split, list[Mapping[str, Any]]]] = {}


def keep_rows(rows: Any) -> str:
    """Keep rows for the skill ``rows``, for as long as this process runs.

    Args:
        rows: dicts, as the skill ``jsonl`` reads them; or by ``train``, ``validation`` and ``test`` such rows.

    Returns:
        The digest by which the skill finds them.

    Raises:
        GrowlmError: if they are no rows.
    """
    parts = dict(rows.items()) if isinstance(rows, Mapping) else {"train": rows}
    if "train" not in parts or not set(parts) <= set(SPLITS):
        raise GrowlmError(f"rows by split are called {', '.join(map(str, parts))}: give train, and validation and test")
    kept: dict[Split, list[Mapping[str, Any]]] = {split: _dicts(parts[split]) for split in SPLITS if split in parts}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()
    _KEPT[digest] = kept
    return digest


class Rows(OwnData):
    """Your own data, given as rows in Python: ``growlm.grow([{"messages": [...]}, ...], name="mine")``.

    The rows are as ``jsonl`` reads them. They are not stored: a later process scores the skill again only if it is
    given the same rows.

    Args:
        digest: what ``growlm.skills.rows.keep_rows`` returned for the rows.
        options: how rows are read and scored: the options of ``OwnData``.
    """

    def __init__(self, digest: str, **options: Any) -> None:
        if digest not in _KEPT:
            raise GrowlmError(f"the rows {digest[:12]} were given in another process: give them to growlm.grow again")
        super().__init__(**options)
        parts = {
            split: [
                example
                for example, _ in self._read(
                    ((f"the rows, row {number}", dict(row)) for number, row in enumerate(rows, 1)), "rows"
                )
            ]
            for split, rows in _KEPT[digest].items()
        }
        self._keep(parts, "the rows")


def _dicts(rows: Iterable[Any]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise GrowlmError(f"row {number} is a {type(row).__name__}: give dicts, such as {{'messages': [...]}}")
        found.append(row)
    if not found:
        raise GrowlmError("there are no rows: give at least three")
    return found
