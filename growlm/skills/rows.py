"""Your own data as rows of this Python process: a list of dicts, a ``datasets.Dataset``, an iterator."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from growlm.data.example import Example, Split
from growlm.errors import GrowlmError
from growlm.skills._row_examples import OnBad, RowExamples
from growlm.skills._row_shapes import RowReader
from growlm.skills._splits_apart import apart, hold_out
from growlm.skills.skill import Skill

_KEPT: dict[str, dict[Split, list[Mapping[str, Any]]]] = {}
_SPLITS: tuple[Split, ...] = ("train", "validation", "test")


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
    if "train" not in parts or not set(parts) <= set(_SPLITS):
        raise GrowlmError(f"rows by split are called {', '.join(map(str, parts))}: give train, and validation and test")
    kept: dict[Split, list[Mapping[str, Any]]] = {split: _dicts(parts[split]) for split in _SPLITS if split in parts}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()
    _KEPT[digest] = kept
    return digest


class Rows(Skill):
    """Your own data, given as rows in Python: ``growlm.grow([{"messages": [...]}, ...], name="mine")``.

    The rows are as ``jsonl`` reads them. They are not stored: a later process scores the skill again only if it is
    given the same rows.

    Args:
        digest: what ``growlm.skills.rows.keep_rows`` returned for the rows.
        fields: see ``jsonl``.
        held_out_share: share of the training rows held out for each split that is not given.
        metric: see ``jsonl``.
        template: see ``jsonl``.
        strict: see ``jsonl``.
        on_bad: see ``jsonl``.
    """

    def __init__(
        self,
        digest: str,
        fields: dict[str, str] | None = None,
        held_out_share: float = 0.1,
        metric: Literal["exact_match", "loss", "bits_per_byte"] | None = None,
        template: str | None = None,
        strict: bool = False,
        on_bad: OnBad = "error",
    ) -> None:
        if digest not in _KEPT:
            raise GrowlmError(f"the rows {digest[:12]} were given in another process: give them to growlm.grow again")
        examples = RowExamples(RowReader(fields, (), template, strict), on_bad)
        parts = {
            split: [
                example
                for example, _ in examples.read(
                    ((f"the rows, row {number}", dict(row)) for number, row in enumerate(rows, 1)), "rows"
                )
            ]
            for split, rows in _KEPT[digest].items()
        }
        self.notices = examples.notices("the rows")
        hold_out(parts, held_out_share, "the rows")
        self._parts, self.left_out = apart(parts, "the rows")
        self.metric = examples.metric(metric)

    def examples(self, split: Split) -> Iterator[Example]:
        """Yield the split's examples in the rows' order."""
        return iter(self._parts[split])


def _dicts(rows: Iterable[Any]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise GrowlmError(f"row {number} is a {type(row).__name__}: give dicts, such as {{'messages': [...]}}")
        found.append(row)
    if not found:
        raise GrowlmError("there are no rows: give at least three")
    return found
