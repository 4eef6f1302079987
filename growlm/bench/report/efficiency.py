"""Scores at equal budgets: of tokens, of FLOPs and of seconds, each what the cheapest cell took in all."""

import math
from collections.abc import Sequence

from growlm.bench.report.cell_metric import CellMetric, MetricGroup
from growlm.bench.report.curves import learning_curve, score_at
from growlm.bench.report.statistics import Row, costs
from growlm.bench.run.result import CellResult

BUDGETS = {"tokens": ("k tokens", 1e-3, 1), "flops": ("TFLOPs", 1e-12, 3), "seconds": ("s", 1.0, 0)}
"""What is spent: how tables call its unit, the unit, and with how many decimals it is written."""
STORED = "Files of all modules that no other has superseded, with what their methods keep."
PEAK = (
    "Greatest memory of a phase: of the whole process on a CPU, with what it keeps for all its cells; compare it on a "
    "GPU."
)
_NOTE = (
    "Read from each cell's learning curve at what the cheapest cell of all entries that train spent in all; a straight "
    "line between the ends of phases and the points that --curve measures within them. In the middle of a phase the "
    "learning rate has not fallen yet: a run that is planned to end there scores higher. Scores of earlier "
    "skills that --matrix last leaves out are read from these points, too, or lie on a straight line where a method "
    "leaves the paths of earlier skills as they are. What trains nothing has its "
    "last score at every budget, and what it takes to answer is not counted. Seconds are of the machine that ran."
)


def common_budget(rows: Sequence[Row], cost: str = "flops") -> float:
    """Return what every cell of every entry that trains has spent: what the cheapest one took in all.

    Args:
        rows: the entries.
        cost: one of ``BUDGETS``.
    """
    return min((spent for row in rows for cell in row.cells if (spent := costs(cell)[cost])), default=0.0)


def score_at_budget(cell: CellResult, cost: str, budget: float) -> float:
    """Return the mean score over all skills at a budget in the own mode; NaN where the curve is not known.

    Args:
        cell: the cell.
        cost: one of ``BUDGETS``.
        budget: as much of it.
    """
    score = score_at(learning_curve(cell, cell.mode, cost), budget)
    return math.nan if score is None else score


def efficiency_group(rows: Sequence[Row], scale: float, decimals: int) -> MetricGroup:
    """Return the metrics of efficiency at the budgets that some entries have in common.

    Args:
        rows: the entries.
        scale: factor of scores when they are written.
        decimals: decimals of scores.
    """
    metrics = [_at_budget(rows, cost, scale, decimals) for cost in BUDGETS]
    metrics += [
        CellMetric(
            "stored_bytes",
            "stored, MB ↓",
            STORED,
            lambda cell: costs(cell)["stored_bytes"],
            2,
            1e-6,
        ),
        CellMetric(
            "peak_bytes",
            "peak, MB ↓",
            PEAK,
            lambda cell: costs(cell)["peak_bytes"],
            0,
            1e-6,
        ),
    ]
    return MetricGroup("efficiency", "Efficiency at equal budgets, in each method's own mode", tuple(metrics), _NOTE)


def _at_budget(rows: Sequence[Row], cost: str, scale: float, decimals: int) -> CellMetric:
    budget = common_budget(rows, cost)
    unit, factor, places = BUDGETS[cost]
    return CellMetric(
        f"score_at_{cost}",
        f"score at {factor * budget:,.{places}f} {unit} ↑",
        f"Mean score over all skills when {factor * budget:,.{places}f} {unit} of training are spent; a skill whose "
        "turn has not come counts with the bare base's score.",
        lambda cell: score_at_budget(cell, cost, budget),
        decimals,
        scale,
        reason="needs --matrix lower or --curve",
    )
