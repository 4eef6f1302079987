"""Scores over a cell: against what training took, within phases where they were measured there, and as phases pass."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from growlm.bench.report.statistics import signed
from growlm.bench.run.result import CellResult
from growlm.manifest.scores import Matrix
from growlm.skills.metric import higher_is_better

Point = tuple[float, float]
"""What training took so far, and the mean score over all skills."""


def learning_curve(cell: CellResult, mode: str, cost: str = "tokens") -> list[Point]:
    """Return the mean score over all skills against what training took.

    A skill whose turn has not come counts with the bare base's score, unless it was measured. In the middle of a phase
    skills that were not scored there count as at its beginning.

    Args:
        cell: a finished cell.
        mode: the inference mode.
        cost: in what it is counted: ``tokens`` trained on, ``flops``, or ``seconds`` of training.

    Returns:
        Points from the bare base on; none if the mode lacks some of the lower triangle that is not estimated either.
    """
    base, *rows = completed_rows(cell, mode)
    learned = enumerate(rows[-1:] if cell.at_once else rows, len(rows) if cell.at_once else 1)
    filled = [
        row[:number] + [b if s is None else s for s, b in zip(row, base, strict=True)][number:]
        for number, row in learned
    ]
    ends = [scores for row in (base, *filled) if (scores := _known(row)) is not None]
    if len(ends) <= len(filled):
        return []
    points, so_far = [(0.0, statistics.fmean(ends[0]))], 0.0
    for phase, (before, after) in zip(cell.costs, pairwise(ends), strict=True):
        for spent, middle in middle_points(cell, mode, phase, after, cost):
            mean = statistics.fmean(middle.get(column, score) for column, score in enumerate(before))
            points.append((so_far + spent, mean))
        so_far += float(phase[cost])
        points.append((so_far, statistics.fmean(after)))
    return points


def completed_rows(cell: CellResult, mode: str) -> Matrix:
    """Return a mode's matrix, higher is better, with estimates of what ``--matrix last`` left out.

    Only of cells that were measured with ``--curve``, and in the mode of the method's authors: where an earlier skill
    was looked at, too, its score at the end of that training, shifted by what all examples say more after the last
    phase; else, unless all modules are active, so that paths of earlier skills are as they were, a straight line from
    the score after its own phase to that after the last.
    """
    rows = [list(row) for row in signed(cell.scores, mode)]
    if mode != cell.mode or cell.at_once or not cell.settings.get("curve"):
        return rows
    for column, skill in enumerate(cell.skills):
        first, last = rows[column + 1][column], rows[-1][column]
        if first is None or last is None:
            continue
        for after in range(column + 2, len(rows) - 1):
            if rows[after][column] is None:
                change = _change_to_last(cell, skill, after)
                if change is not None:
                    rows[after][column] = last - change
                elif mode != "all":
                    rows[after][column] = first + (last - first) * (after - column - 1) / (len(rows) - column - 2)
    return rows


def _change_to_last(cell: CellResult, skill: str, after: int) -> float | None:
    """Return how a skill's score on some examples changed from a phase's training to the last one's."""
    phases = cell.costs[after - 1], cell.costs[-1]
    there, last = ((phase.get("points") or [{"scores": {}}])[-1]["scores"] for phase in phases)
    if skill not in there or skill not in last:
        return None
    sign = 1 if higher_is_better(cell.scores.metrics.get(skill) or "") else -1
    return float(sign * (last[skill] - there[skill]))


def middle_points(
    cell: CellResult, mode: str, phase: Mapping[str, Any], after: Sequence[float | None], cost: str = "tokens"
) -> list[tuple[float, dict[int, float]]]:
    """Return what was measured in the middle of a phase.

    It was measured on some of the examples: how much the score of all of them, after the phase, differs from that of
    these at the end of the training is added to every point.

    Args:
        cell: the cell.
        mode: the inference mode; there are points in that of the method's authors alone.
        phase: the phase's costs.
        after: the score of each skill after the phase; higher is better.
        cost: in what a point's place is counted.

    Returns:
        For each point what the phase had taken, and the scores that are known there, by the skill's place.
    """
    *middle, end = phase.get("points") or [{"scores": {}}]
    if mode != cell.mode:
        return []
    sign = {skill: 1 if higher_is_better(cell.scores.metrics.get(skill) or "") else -1 for skill in cell.skills}
    found: list[tuple[float, dict[int, float]]] = []
    for point in middle:
        scores = {
            column: sign[skill] * (point["scores"][skill] - end["scores"][skill]) + last
            for column, (skill, last) in enumerate(zip(cell.skills, after, strict=True))
            if last is not None and skill in point["scores"] and skill in end["scores"]
        }
        found.append((float(point[cost]), scores))
    return found


def score_at(curve: Sequence[Point], budget: float) -> float | None:
    """Return the score of a learning curve at a budget, between two points by a straight line.

    Args:
        curve: the curve.
        budget: what training may take; beyond the curve's end its last score counts.

    Returns:
        The score; None for an empty curve.
    """
    if not curve:
        return None
    for (start, low), (end, high) in pairwise(curve):
        if start <= budget < end:
            return low + (high - low) * (budget - start) / (end - start)
    return curve[-1][1]


def retention_curve(cell: CellResult, mode: str) -> list[float]:
    """Compute a skill's change k phases after its own: mean over skills of R[i+1+k, i] - R[i+1, i].

    Args:
        cell: a finished cell.
        mode: the inference mode.

    Returns:
        For k = 0, 1, ...; the later ones are of fewer skills. None where the mode lacks some of the lower triangle.
    """
    rows = signed(cell.scores, mode)
    num_skills = len(cell.skills)
    curve: list[float] = []
    for later in range(num_skills):
        pairs = [(rows[i + 1 + later][i], rows[i + 1][i]) for i in range(num_skills - later)]
        change = _known_mean([None if now is None or then is None else now - then for now, then in pairs])
        if change is None:
            return []
        curve.append(change)
    return curve


def mean_curve(curves: Iterable[Sequence[float]]) -> list[float]:
    """Average curves of equal length point by point; empty ones are left out."""
    known = [curve for curve in curves if curve]
    return [statistics.fmean(points) for points in zip(*known, strict=True)] if known else []


def _known(values: Sequence[float | None]) -> list[float] | None:
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None


def _known_mean(values: Sequence[float | None]) -> float | None:
    known = _known(values)
    return None if known is None else statistics.fmean(known)
