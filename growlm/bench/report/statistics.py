"""From cells to metrics: the accuracy matrix of each cell and mode, and mean and spread over cells."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from growlm.bench.plan.cell import CELL_FILE, CELLS
from growlm.bench.run.result import CellResult, read_cell
from growlm.errors import GrowlmError
from growlm.manifest.scores import MODES, Matrix, ScoreTables
from growlm.metrics.accuracy_matrix import AccuracyMatrix
from growlm.skills.metric import higher_is_better
from growlm.terminal import counted

MATRIX_METRICS = ("ap", "bwt", "forgetting", "learning_accuracy", "fwt")


@dataclass(frozen=True)
class Spread:
    """Several measurements of one metric.

    Args:
        mean: their mean; NaN if there is none.
        deviation: their standard deviation (n - 1); NaN for less than two.
        count: how many there are.
    """

    mean: float
    deviation: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Spread":
        """Collect measurements; None and NaN are left out."""
        known = [float(value) for value in values if value is not None and not math.isnan(value)]
        mean = statistics.fmean(known) if known else math.nan
        return cls(mean, statistics.stdev(known) if len(known) > 1 else math.nan, len(known))

    def to_json(self) -> dict[str, float | int | None]:
        """Return what JSON can hold: null for what is not known."""
        return {
            "mean": None if math.isnan(self.mean) else self.mean,
            "deviation": None if math.isnan(self.deviation) else self.deviation,
            "count": self.count,
        }


@dataclass(frozen=True)
class Row:
    """All finished cells of one entry.

    Args:
        label: the entry's label.
        cells: its cells.
    """

    label: str
    cells: tuple[CellResult, ...]

    @property
    def mode(self) -> str:
        """The inference mode that the method's authors intend."""
        return self.cells[0].mode

    @property
    def method(self) -> str:
        """The method's name."""
        return str(self.cells[0].settings["method"])

    @cached_property
    def ignores_order(self) -> bool:
        """Whether the last scores are the same in every order of a seed, or there is no order.

        So they are where all skills are learned at once, and where each has a model or examples of its own.
        """
        found: dict[int, set[tuple[tuple[str, float | None], ...]]] = {}
        for cell in self.cells:
            last = sorted(zip(cell.skills, cell.scores.modes[cell.mode][-1], strict=True))
            found.setdefault(cell.settings["seed"], set()).add(tuple(last))
        return all(len(scores) == 1 for scores in found.values())

    @property
    def independent_cells(self) -> int:
        """How many cells are no copies of another: one for each seed where the order changes no last score."""
        return len({cell.settings["seed"] for cell in self.cells}) if self.ignores_order else len(self.cells)

    def spread(self, compute: Callable[[CellResult], float | None]) -> Spread:
        """Compute a metric for all cells.

        Where the order changes no last score, values that are the same in every order count once a seed: they are
        copies of one measurement.

        Args:
            compute: computes it for a cell; None or NaN where it is not known.
        """
        by_seed: dict[int, list[float]] = {}
        for cell in self.cells:
            if (value := compute(cell)) is not None and not math.isnan(value):
                by_seed.setdefault(cell.settings["seed"], []).append(value)
        if self.ignores_order and all(map(_agree, by_seed.values())):
            return Spread.of(values[0] for values in by_seed.values())
        return Spread.of(value for values in by_seed.values() for value in values)

    def metric(self, mode: str, name: str) -> Spread:
        """Return one of ``MATRIX_METRICS`` in a mode."""
        return self.spread(lambda cell: matrix_metrics(cell.scores, mode)[name])

    def last_score(self, skill: str) -> Spread:
        """Return the score on a skill after the last phase, in the own mode."""
        return self.spread(lambda cell: cell.scores.modes[self.mode][-1][cell.skills.index(skill)])

    def composites(self, mode: str, names: Sequence[str] | None = None) -> Spread:
        """Return the mean score over composite skills; see ``composite_score``."""
        return self.spread(lambda cell: composite_score(cell, mode, names))

    def is_measured(self, mode: str) -> bool:
        """Return whether anything is known in a mode."""
        found = [*(self.metric(mode, name) for name in MATRIX_METRICS), self.composites(mode)]
        return any(spread.count for spread in found) or (mode == "routed" and self.routing_accuracy().count > 0)

    def cost(self, name: str) -> Spread:
        """Return one of ``costs``."""
        return self.spread(lambda cell: costs(cell)[name])

    def routing_accuracy(self) -> Spread:
        """Return the share of prompts that the router sent to their skill's own path at the end."""
        return self.spread(lambda cell: _mean(cell.routing[-1]))

    def by_order(self) -> dict[str, tuple[CellResult, ...]]:
        """Return the cells by the order of their skills."""
        orders = dict.fromkeys(str(cell.settings["order"]) for cell in self.cells)
        return {order: tuple(cell for cell in self.cells if cell.settings["order"] == order) for order in orders}


def read_results(folder: Path, metric: str | None = None) -> tuple[list[Row], int]:
    """Read all cells of a folder.

    Args:
        folder: folder of the results.
        metric: score the answers that the cells keep by this metric instead.

    Returns:
        A row for each entry that has a finished cell, the highest average performance in its own mode first; and how
        many cells are unfinished.

    Raises:
        GrowlmError: if there is no finished cell, one is damaged, or two are of different streams or bases.
    """
    files = sorted((folder / CELLS).glob(f"*/*/*/{CELL_FILE}"))
    if not files:
        raise GrowlmError(f"{folder} holds no results of growlm bench ({CELLS}/*/*/*/{CELL_FILE}): run growlm bench")
    results = [read_cell(file) for file in files]
    finished = [result for result in results if result.finished]
    if not finished:
        raise GrowlmError(f"none of {counted(len(results), 'cell')} in {folder} is finished: run growlm bench again")
    first = finished[0]
    for file, result in zip(files, results, strict=True):
        if result.finished and _common(result) != _common(first):
            raise GrowlmError(
                f"{file} is of another stream or base than {files[0]}: give each its own folder (growlm bench --out)"
            )
    if metric is not None:
        finished = [result.rescored(metric) for result in finished]
    labels = sorted({str(result.settings["label"]) for result in finished})
    rows = [Row(label, tuple(r for r in finished if r.settings["label"] == label)) for label in labels]
    rows.sort(key=_last_score, reverse=True)
    return rows, len(results) - len(finished)


def signed(tables: ScoreTables, mode: str) -> Matrix:
    """Return a mode's matrix with every score better the higher it is: losses and bits per byte are negated."""
    signs = [1 if higher_is_better(tables.metrics.get(skill) or "") else -1 for skill in tables.skills]
    return [
        [None if score is None else sign * score for sign, score in zip(signs, row, strict=True)]
        for row in tables.modes[mode]
    ]


def matrix_metrics(tables: ScoreTables, mode: str) -> dict[str, float]:
    """Compute ``MATRIX_METRICS`` of a mode; NaN where cells are missing."""
    metrics = AccuracyMatrix.from_rows(signed(tables, mode)).compute()
    return {name: float(metrics[name]) for name in MATRIX_METRICS}


def mean_matrix(cells: Sequence[CellResult], mode: str) -> Matrix:
    """Average the matrices of cells of one order, entry by entry; None where any of them has none."""
    matrices = [cell.scores.modes[mode] for cell in cells]
    return [[_strict_mean(scores) for scores in zip(*rows, strict=True)] for rows in zip(*matrices, strict=True)]


def composite_score(cell: CellResult, mode: str, names: Sequence[str] | None = None) -> float:
    """Compute the mean score over composite skills in a mode, or on the bare base (``base``).

    Args:
        cell: a finished cell.
        mode: the inference mode, or ``base``.
        names: the composite skills; None: all.

    Returns:
        The mean; NaN if none of them has a score.
    """
    mean = _mean([scores.get(mode) for name, scores in cell.composites.items() if names is None or name in names])
    return math.nan if mean is None else mean


def costs(cell: CellResult) -> dict[str, float]:
    """Add up the costs of a cell's phases.

    Args:
        cell: a finished cell.

    Returns:
        ``trained`` parameters of a phase (the greatest), ``active`` parameters and ``stored_bytes`` at the end,
        ``tokens``, ``seconds`` of training, ``wall_seconds``, ``flops``, ``peak_bytes`` (the greatest; NaN if not
        known), and ``old_share``: which share of the rows was of earlier skills.
    """
    phases: Sequence[Mapping[str, Any]] = cell.costs
    total = {key: float(sum(p[key] for p in phases)) for key in ("tokens", "seconds", "wall_seconds", "flops")}
    peaks = [p["peak_bytes"] for p in phases]
    return {
        "trained": float(max(p["trained"] for p in phases)),
        "active": float(phases[-1]["active"]),
        "stored_bytes": float(phases[-1]["stored_bytes"]),
        **total,
        "peak_bytes": math.nan if None in peaks else float(max(peaks)),
        "old_share": sum(p["replayed_rows"] for p in phases) / max(1, sum(p["rows"] for p in phases)),
    }


def modes_measured(rows: Sequence[Row]) -> list[str]:
    """List the modes in which any entry was scored at its end."""
    return [mode for mode in MODES if any(row.metric(mode, "ap").count for row in rows)]


def _last_score(row: Row) -> float:
    mean = row.metric(row.mode, "ap").mean
    return -math.inf if math.isnan(mean) else mean


def _common(result: CellResult) -> tuple[object, ...]:
    skills = sorted(str(skill) for skill in result.settings["skills"])
    return (result.settings["stream"], skills, result.base.get("digest"), result.settings["phase"].get("num_scored"))


def _agree(values: Sequence[float]) -> bool:
    """Return whether values are equal up to the rounding of sums in another order."""
    return all(math.isclose(value, values[0], rel_tol=1e-6, abs_tol=1e-9) for value in values)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _strict_mean(values: Sequence[float | None]) -> float | None:
    return None if None in values else _mean(values)
