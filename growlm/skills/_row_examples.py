"""From rows to examples of one shape: bad rows refused or left out, and one line that says what was found."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from growlm.data.example import Example
from growlm.data.sources import Row
from growlm.errors import GrowlmError, unknown_name
from growlm.skills._row_shapes import RowReader
from growlm.skills.metric import Metric
from growlm.terminal import counted

OnBad = Literal["error", "skip"]
_METRICS: dict[str, tuple[Metric, ...]] = {
    "messages": ("loss",),
    "turns": ("loss",),
    "completion": ("exact_match", "loss"),
    "text": ("bits_per_byte", "loss"),
    "preference": ("loss",),
    "instruction": ("loss",),
}


class RowExamples:
    """The examples of a user's rows, all of one shape.

    Args:
        reader: turns a row into an example.
        on_bad: refuse a bad row, or leave it out and count it.

    Raises:
        GrowlmError: for another way to treat bad rows.
    """

    def __init__(self, reader: RowReader, on_bad: OnBad) -> None:
        if on_bad not in ("error", "skip"):
            raise unknown_name("way to treat bad rows (on_bad)", str(on_bad), ("error", "skip"))
        self._reader = reader
        self._on_bad = on_bad
        self._shape: str | None = None
        self._of_dialogue = False
        self._count = 0
        self._bad: list[GrowlmError] = []

    def read(self, rows: Iterable[Row], source: str) -> Iterator[tuple[Example, Mapping[str, Any]]]:
        """Yield the example of each row, and the row.

        Args:
            rows: the rows, each with where it is.
            source: what the examples' names begin with, such as the file's name.

        Raises:
            GrowlmError: for a bad row, unless such rows are left out.
        """
        for where, row in rows:
            try:
                example = self._example(row, f"{source}:{where.rpartition(' ')[2]}", where)
            except GrowlmError as error:
                if self._on_bad == "error":
                    raise
                self._bad.append(error)
                continue
            assert isinstance(row, Mapping)
            yield example, row

    def _example(self, row: Mapping[str, Any] | GrowlmError, name: str, where: str) -> Example:
        if isinstance(row, GrowlmError):
            raise row
        shape = self._reader.shape(row, where)
        if self._shape is not None and shape != self._shape:
            raise GrowlmError(f"{where}: shape {shape!r} after rows with {self._shape!r}; keep to one shape")
        example = self._reader.example(row, name, where)
        self._shape = shape
        self._of_dialogue = bool(example.messages)
        self._count += 1
        return example

    def notices(self, source: str) -> tuple[str, ...]:
        """Say what the rows were, how many, and what was found and left out.

        Args:
            source: what the rows come from.

        Returns:
            Lines for the user.

        Raises:
            GrowlmError: if no row could be used.
        """
        if self._bad and not self._count:
            raise GrowlmError(
                f"{source}: none of {counted(len(self._bad), 'row')} can be used; the first: {self._bad[0]}"
            )
        found = Counter({key: count for key, count in self._reader.found.items() if count})
        details = [counted(count, key, key.replace("turn", "turns")) for key, count in found.most_common()]
        rows = counted(self._count, *self._reader.names_of(self._shape or "text"))
        lines = [f"{source}: " + "; ".join([rows, *details])]
        if self._bad:
            lines.append(f"{source}: bad rows left out: {len(self._bad)}; the first: {self._bad[0]}")
        if self._reader.unused:
            keys = ", ".join(f"{key!r} ({counted(count, 'time')})" for key, count in self._reader.unused.most_common())
            lines.append(f"{source}: keys that are not used: {keys}")
        return tuple(lines)

    def metric(self, asked: Metric | None) -> Metric:
        """Return the metric of rows of this shape.

        Args:
            asked: the metric that was asked for; None: the shape's own.

        Raises:
            GrowlmError: if it does not fit.
        """
        shape = "messages" if self._of_dialogue else self._shape or "text"
        known = _METRICS[shape]
        if asked is not None and asked not in known:
            raise unknown_name(f"metric for rows with {self._shape!r}", asked, known)
        return asked or known[0]
