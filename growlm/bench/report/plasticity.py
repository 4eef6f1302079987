"""Beside the five desiderata: whether a method still learns late in the order, and how low scores fall on the way."""

import math
from collections.abc import Callable, Sequence

from growlm.bench.report.curves import completed_rows, middle_points
from growlm.bench.report.statistics import Row, Spread, signed
from growlm.bench.report.table import Table, written
from growlm.bench.run.result import CellResult
from growlm.skills.metric import higher_is_better

DEFINITIONS = {
    "intransigence ↓": (
        "What a method's past costs its learning (Chaudhry et al. 2018): mean over skills of the score right after the "
        "skill's own phase, of the entry that trains a whole model for each skill minus that of the method; same seed "
        "and order. Below 0: it learns better than from the base alone."
    ),
    "loss of plasticity ↓": (
        "The same for the last skill of the order minus the same for the first: how much harder learning became. 0: "
        "no harder."
    ),
    "lowest score ↑": (
        "Mean over all skills but the last of the lowest score at the end of any later phase (De Lange et al. 2023), "
        "and in the middle of one where --curve measures it there: else falls that recover inside a phase are not seen."
    ),
    "fresh skill ↓": (
        "Loss in nats per token, on a skill of no phase after a few steps of the method itself, from the last "
        "checkpoint minus from the bare base. 0: it learns as well as at first; above 0: it has become stiff."
    ),
    "few-shot recovery ↑": (
        "Share of what was forgotten of the first skill that as few steps on it bring back. 1: all of it, so that it "
        "was out of reach and not lost. Undefined where less than a hundredth was forgotten."
    ),
}
_FORGOTTEN = 0.01
ALONE = "per_skill"
"""The method that trains a whole model for each skill."""


def plasticity_table(rows: Sequence[Row], title: Callable[[Row], str], score: Callable[[Spread, str], str]) -> Table:
    """Return the table of the metrics of ``DEFINITIONS``.

    Args:
        rows: the entries.
        title: what a row is called.
        score: writes a score, with the reason where it is undefined.
    """
    alone = alone_row(rows)
    partners = alone.cells if alone else ()
    lines: list[tuple[str, ...]] = []
    for row in rows:
        cells = row.cells
        learning = "one phase" if cells[0].at_once else f"needs a {ALONE} entry"
        falling = "one phase" if cells[0].at_once else "needs --matrix lower or --curve"
        recovering = "too little forgotten" if cells[0].recovery else "needs --fresh"
        found = [
            score(row.spread(lambda cell: intransigence(cell, partners)), learning),
            score(row.spread(lambda cell: plasticity_loss(cell, partners)), learning),
            score(row.spread(lowest_score), falling),
            written(row.spread(fresh_loss), 3, reason="needs --fresh"),
            written(row.spread(recovery), 2, reason=recovering),
        ]
        lines.append((title(row), *found))
    caption = "Learning late and falling on the way, in each method's own mode"
    return Table("plasticity", caption, ("method", *DEFINITIONS), tuple(lines))


def alone_row(rows: Sequence[Row]) -> Row | None:
    """Return the entry that trains a whole model for each skill."""
    return next((row for row in rows if row.method == ALONE), None)


def learning_costs(cell: CellResult, alone: Sequence[CellResult]) -> list[float]:
    """Compute what the past costs the learning of each skill, in the order of learning.

    Args:
        cell: the cell.
        alone: cells of the entry that trains a whole model for each skill; the one of the same seed and order counts.

    Returns:
        For each skill its score right after its own phase, there minus here; empty where one of them is not known.
    """
    key = (cell.settings["seed"], cell.settings["order"])
    partner = next((other for other in alone if (other.settings["seed"], other.settings["order"]) == key), None)
    if partner is None or cell.at_once:
        return []
    here, there = (_learned(each) for each in (cell, partner))
    pairs = [
        (mine, theirs) for mine, theirs in zip(here, there, strict=True) if mine is not None and theirs is not None
    ]
    return [theirs - mine for mine, theirs in pairs] if len(pairs) == len(here) else []


def intransigence(cell: CellResult, alone: Sequence[CellResult]) -> float:
    """Compute the mean cost of learning; see ``DEFINITIONS``. NaN where it is not known."""
    found = learning_costs(cell, alone)
    return math.fsum(found) / len(found) if found else math.nan


def plasticity_loss(cell: CellResult, alone: Sequence[CellResult]) -> float:
    """Compute how much dearer learning became; see ``DEFINITIONS``. NaN where it is not known or there is one skill."""
    found = learning_costs(cell, alone)
    return found[-1] - found[0] if len(found) > 1 else math.nan


def lowest_score(cell: CellResult) -> float:
    """Compute how low scores fall; see ``DEFINITIONS``. NaN where a score is missing, or there was one phase."""
    rows, count = completed_rows(cell, cell.mode), len(cell.skills)
    lowest: list[float] = []
    for column in range(count - 1):
        later = [rows[after][column] for after in range(column + 2, count + 1)]
        known = [score for score in later if score is not None]
        if len(known) < len(later):
            return math.nan
        inside = [
            scores[column]
            for phase, after in zip(cell.costs[column + 1 :], rows[column + 2 :], strict=False)
            for _, scores in middle_points(cell, cell.mode, phase, after)
            if column in scores
        ]
        lowest.append(min([*known, *inside]))
    return math.fsum(lowest) / len(lowest) if lowest and not cell.at_once else math.nan


def fresh_loss(cell: CellResult) -> float:
    """Compute how much worse a fresh skill is learned at the end; see ``DEFINITIONS``. NaN where it was not tried."""
    return cell.fresh[-1]["loss"] - cell.fresh[0]["loss"] if len(cell.fresh) > 1 else math.nan


def recovery(cell: CellResult) -> float:
    """Compute which share of the first skill's fall a few steps bring back; see ``DEFINITIONS``. NaN: undefined."""
    rows = signed(cell.scores, cell.mode)
    learned, last = rows[1][0], rows[-1][0]
    if not cell.recovery or learned is None or last is None or learned - last < _FORGOTTEN:
        return math.nan
    sign = 1 if higher_is_better(cell.scores.metrics[cell.skills[0]] or "") else -1
    return (sign * cell.recovery["value"] - last) / (learned - last)


def _learned(cell: CellResult) -> list[float | None]:
    rows = signed(cell.scores, cell.mode)
    return [rows[number + 1][number] for number in range(len(cell.skills))]
