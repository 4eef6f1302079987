"""Your own data: a file with one conversation, prompt with completion, or text per line."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from growlm.data.example import Example, Split
from growlm.errors import GrowlmError, unknown_name
from growlm.skills._json_lines import read_objects
from growlm.skills._row_shapes import RowReader
from growlm.skills._splits_apart import apart, hold_out
from growlm.skills.skill import Skill

_SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_log = logging.getLogger(__name__)
_METRICS: dict[str, tuple[str, ...]] = {
    "messages": ("loss",),
    "turns": ("loss",),
    "completion": ("exact_match", "loss"),
    "text": ("bits_per_byte", "loss"),
}


class Jsonl(Skill):
    """Your own data: a file with one conversation, prompt with completion, or text per line.

    A row has one of four shapes: ``messages`` (a list of ``{"role", "content"}``, user and assistant in turn, after a
    system turn if there is one; an assistant's turn with ``"weight": 0`` is read and not trained; ShareGPT's
    ``conversations`` are read, too),
    ``turns`` (a list of strings, the user's first), ``prompt`` with ``completion`` (and optionally ``choices``), or
    ``text``. A conversation's last turn is left out if it is the user's. All rows have the same shape; the first bad
    one is refused by file and line. An example that several splits have stays in one only: in the test rather
    than in validation, in validation rather than in training.

    Args:
        train: a ``.jsonl`` or ``.jsonl.xz`` file.
        validation: another, for validation; left out: a share of ``train``, chosen by a hash of the content.
        test: another, for the test; left out: as for validation.
        fields: for each of the names above (and ``role``, ``content``), the key that the rows use instead.
        split_field: key that names the split a row of ``train`` belongs to; needs ``splits``.
        splits: for ``train``, ``validation`` and ``test``, the values of ``split_field`` that mean it; rows with
            other values are left out. A split that is not given is held out from ``train``.
        held_out_share: share of ``train`` held out for each split that is not given.
        metric: ``loss`` for conversations; ``exact_match`` (default) or ``loss`` for completions; ``bits_per_byte``
            (default) or ``loss`` for text.

    Attributes:
        left_out: names of the examples taken out of a split because another has them, too.
    """

    def __init__(
        self,
        train: str,
        validation: str | None = None,
        test: str | None = None,
        fields: dict[str, str] | None = None,
        split_field: str | None = None,
        splits: dict[str, list[str]] | None = None,
        held_out_share: float = 0.1,
        metric: Literal["exact_match", "loss", "bits_per_byte"] | None = None,
    ) -> None:
        if (split_field is None) != (splits is None):
            raise GrowlmError("split_field and splits belong together: give both or neither")
        for name in splits or {}:
            if name not in _SPLITS:
                raise unknown_name("split", name, _SPLITS)
        if not 0 < held_out_share < 0.5:
            raise GrowlmError(f"held_out_share is {held_out_share}: give a number between 0 and 0.5")
        self._reader = RowReader(fields, (split_field,) if split_field else ())
        self._shape: str | None = None
        parts = self._read_parts(Path(train), split_field, splits)
        for name, file in (("validation", validation), ("test", test)):
            if file is not None:
                if name in parts:
                    raise GrowlmError(f"{name} is given twice, by a file and by splits: give one of them")
                parts[name] = [example for example, _ in self._read(Path(file))]
        if self._reader.unused:
            keys = ", ".join(f"{key!r} ({count} times)" for key, count in self._reader.unused.most_common())
            _log.info("%s: keys that are not used: %s", train, keys)
        hold_out(parts, held_out_share, Path(train))
        self._parts, self.left_out = apart(parts, Path(train))
        known = _METRICS[self._shape or "text"]
        if metric is not None and metric not in known:
            raise unknown_name(f"metric for rows with {self._shape!r}", metric, known)
        self.metric = metric or known[0]  # type: ignore[assignment]

    def examples(self, split: Split) -> Iterator[Example]:
        """Yield the split's examples in the file's order."""
        return iter(self._parts[split])

    def _read_parts(
        self, path: Path, split_field: str | None, splits: Mapping[str, Sequence[str]] | None
    ) -> dict[str, list[Example]]:
        if split_field is None or splits is None:
            return {"train": [example for example, _ in self._read(path)]}
        rows = [(example, _split_value(row, split_field, example.name)) for example, row in self._read(path)]
        values = sorted({value for _, value in rows})
        parts: dict[str, list[Example]] = {}
        for name, wanted in {"train": (), **splits}.items():
            parts[name] = [example for example, value in rows if value in wanted]
            if not parts[name]:
                raise GrowlmError(
                    f"{path}: no row for {name}: {split_field!r} is never one of {list(wanted)}; it is {values}"
                )
        return parts

    def _read(self, path: Path) -> Iterator[tuple[Example, dict[str, Any]]]:
        path = path.expanduser()
        for number, row in read_objects(path):
            where = f"{path}, line {number}"
            shape = self._reader.shape(row, where)
            if self._shape is None:
                self._shape = shape
            elif shape != self._shape:
                raise GrowlmError(f"{where}: shape {shape!r} after rows with {self._shape!r}; keep to one shape")
            yield self._reader.example(row, f"{path.name}:{number}", where), row


def _split_value(row: Mapping[str, Any], field: str, name: str) -> str:
    if not isinstance(row.get(field), str):
        raise GrowlmError(f"{name}: {field!r} is missing or no string; it has to name the split")
    return str(row[field])
