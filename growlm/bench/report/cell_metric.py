"""A metric of a cell with all that a report needs of it: name, meaning, how it is computed and how it is written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from growlm.bench.report.statistics import Row, Spread
from growlm.bench.report.table import Table, written
from growlm.bench.run.result import CellResult


@dataclass(frozen=True)
class CellMetric:
    """A metric.

    Args:
        key: its name in ``results.json``.
        title: what tables call it; an arrow points to the better side.
        definition: what it means, in a sentence or two.
        compute: computes it for a finished cell; NaN where it is not known.
        decimals: with how many decimals it is written.
        scale: factor when it is written, such as 100 for percent.
        reason: why it is undefined, where it is.
        at_once: why it is undefined of an entry that learns all skills at once; empty: ``reason``.
    """

    key: str
    title: str
    definition: str
    compute: Callable[[CellResult], float]
    decimals: int = 3
    scale: float = 1.0
    reason: str = "not measured"
    at_once: str = ""

    def spread(self, row: Row) -> Spread:
        """Compute it for all cells of an entry."""
        return row.spread(self.compute)

    def is_known(self, rows: Sequence[Row]) -> bool:
        """Return whether it is known of any entry."""
        return any(self.spread(row).count for row in rows)

    def written(self, row: Row) -> str:
        """Write it for people."""
        reason = (row.cells[0].at_once and self.at_once) or self.reason
        return written(self.spread(row), self.decimals, self.scale, reason=reason)


@dataclass(frozen=True)
class MetricGroup:
    """Metrics that are shown in one table.

    Args:
        name: the table's name.
        title: its caption.
        metrics: the metrics.
        note: a sentence under it.
    """

    name: str
    title: str
    metrics: tuple[CellMetric, ...]
    note: str = ""


def known_metrics(group: MetricGroup, rows: Sequence[Row]) -> list[CellMetric]:
    """List the metrics of a group that are known of any entry."""
    return [metric for metric in group.metrics if metric.is_known(rows)]


def known_tables(group: MetricGroup, rows: Sequence[Row], title: Callable[[Row], str]) -> list[Table]:
    """Return the table of a group, in a list that is empty if nothing of it is known.

    Args:
        group: the metrics.
        rows: the entries.
        title: what a row is called.
    """
    lines = tuple((title(row), *(metric.written(row) for metric in group.metrics)) for row in rows)
    columns = ("method", *(metric.title for metric in group.metrics))
    is_known = bool(known_metrics(group, rows))
    return [Table(group.name, group.title, columns, lines, (), group.note)] if is_known else []
