"""Whether one entry is better than another: exact paired tests, and intervals that include test sampling."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch

from growlm.bench.report.statistics import Row, matrix_metrics
from growlm.bench.run.result import CellResult
from growlm.terminal import counted

_MOST_ENUMERATED = 16  # 65,536 sign assignments; more pairs go through the distribution of whole numbers
_GRID = 120  # means over 1 to 6 seeds of answers that are right or wrong are whole multiples of 1 / 120
_RESAMPLES = 2_000
_COVERAGE = 0.95


@dataclass(frozen=True)
class Comparison:
    """One entry against another.

    Args:
        other: label of the other entry.
        difference: mean of the paired differences; NaN without pairs.
        pairs: how many pairs there are.
        unit: what a pair is: ``question``, ``cell``, or ``seed`` where cells of several orders are one sample.
        p_value: of the two-sided exact sign-flip test; NaN where it is undefined.
        reason: why it is undefined; empty where it is not.
    """

    other: str
    difference: float
    pairs: int
    unit: str
    p_value: float
    reason: str = ""


def sign_flip_test(differences: Sequence[float]) -> float:
    """Compute the two-sided p-value of the exact paired permutation test (Fisher 1935).

    Under the null hypothesis each difference is as likely to have either sign: the p-value is the share of the 2^n sign
    assignments whose absolute sum is at least the observed one. Up to 16 pairs are enumerated; for more, the
    distribution of the sum is convolved exactly on multiples of 1/120, which differences of whole answers are and
    others are rounded to.

    Args:
        differences: of n pairs.

    Returns:
        The p-value; 1 where all differences are 0, NaN without pairs.
    """
    if not differences:
        return math.nan
    if len(differences) > _MOST_ENUMERATED:
        return _convolved(differences)
    sizes = [abs(difference) for difference in differences]
    observed = abs(math.fsum(differences)) - 1e-12
    sums = [
        math.fsum(sign * size for sign, size in zip(signs, sizes, strict=True))
        for signs in product((1, -1), repeat=len(sizes))
    ]
    return sum(abs(total) >= observed for total in sums) / len(sums)


def _convolved(differences: Sequence[float]) -> float:
    steps = [round(difference * _GRID) for difference in differences]
    reach = sum(map(abs, steps))
    shares = torch.zeros(2 * reach + 1, dtype=torch.float64)
    shares[reach] = 1.0
    for size in (abs(step) for step in steps if step):
        shares = (torch.roll(shares, size) + torch.roll(shares, -size)) / 2
    sums = torch.arange(-reach, reach + 1).abs()
    return min(1.0, shares[sums >= abs(sum(steps))].sum().item())


def compare(row: Row, other: Row) -> Comparison:
    """Compare the last scores of two entries, each in its own mode.

    Where the cells of both keep their answers, a pair is a test question with its scores averaged over the common seeds
    and orders: the test then speaks of other questions too. Else a pair is a cell of the same seed and order, or a seed
    where the scores of one of them do not depend on the order: its cells are then copies of one sample, or it has one.

    Args:
        row: the entry.
        other: the entry that it is compared with.
    """
    pairs = _paired_cells(row, other)
    if not pairs:
        return Comparison(other.label, math.nan, 0, "cell", math.nan, "no common seed and order")
    scores = [(question_scores(mine), question_scores(theirs)) for mine, theirs in pairs]
    if all(mine.keys() == theirs.keys() and mine for mine, theirs in scores):
        questions = list(scores[0][0])
        if all(mine.keys() == scores[0][0].keys() for mine, _ in scores):
            differences = [math.fsum(mine[q] - theirs[q] for mine, theirs in scores) / len(scores) for q in questions]
            return _tested(other.label, differences, "question")
    finals = [(final_score(mine), final_score(theirs)) for mine, theirs in pairs]
    if any(math.isnan(score) for pair in finals for score in pair):
        return Comparison(other.label, math.nan, len(pairs), "cell", math.nan, "a last score was not measured")
    differences = [mine - theirs for mine, theirs in finals]
    if row.ignores_order or other.ignores_order:
        means = _means_by_seed(pairs, differences)
        return _tested(other.label, means, "cell" if len(means) == len(pairs) else "seed")
    return _tested(other.label, differences, "cell")


def _tested(label: str, differences: Sequence[float], unit: str) -> Comparison:
    mean, count = math.fsum(differences) / len(differences), len(differences)
    least = 2 / 2**count if count <= _MOST_ENUMERATED else 0.0
    if least > 0.05:
        reason = f"{counted(count, 'pair')} cannot give p below {least:g}"
        return Comparison(label, mean, count, unit, math.nan, reason)
    return Comparison(label, mean, count, unit, sign_flip_test(differences))


def _means_by_seed(pairs: Sequence[tuple[CellResult, CellResult]], differences: Sequence[float]) -> list[float]:
    by_seed: dict[int, list[float]] = {}
    for (mine, _), difference in zip(pairs, differences, strict=True):
        by_seed.setdefault(mine.settings["seed"], []).append(difference)
    return [math.fsum(found) / len(found) for found in by_seed.values()]


def _paired_cells(row: Row, other: Row) -> list[tuple[CellResult, CellResult]]:
    """Pair the cells of the same seed and order; one that learns all skills at once has no order."""

    def same(mine: CellResult, theirs: CellResult) -> bool:
        orders = mine.at_once or theirs.at_once or mine.settings["order"] == theirs.settings["order"]
        return orders and mine.settings["seed"] == theirs.settings["seed"]

    return [(mine, theirs) for mine in row.cells for theirs in other.cells if same(mine, theirs)]


def final_score(cell: CellResult) -> float:
    """Return the mean score over all skills after the last phase, in the cell's own mode; NaN where one is missing."""
    return matrix_metrics(cell.scores, cell.mode)["ap"]


def question_scores(cell: CellResult) -> Mapping[tuple[str, int], float]:
    """Return the score of every test question in the cell's own mode, weighted so that their sum is the mean score.

    Empty where the cell keeps no answers, or not those of every skill.
    """
    kept = {skill: cell.answers.get(skill, {}).get(cell.mode, []) for skill in sorted(cell.skills)}
    if not all(kept.values()):
        return {}
    return {
        (skill, number): answer.score * _questions(kept) / (len(answers) * len(kept))
        for skill, answers in kept.items()
        for number, answer in enumerate(answers)
    }


def _questions(kept: Mapping[str, Sequence[object]]) -> int:
    return sum(map(len, kept.values()))


def interval(row: Row) -> tuple[float, float]:
    """Compute the 95 % interval of the last mean score by a bootstrap over cells and, inside each skill, questions.

    Args:
        row: an entry whose cells keep their answers.

    Returns:
        The lower and the upper end; NaN where a cell keeps no answers.
    """
    by_seed = {cell.settings["seed"]: cell for cell in row.cells}
    tables = [_score_tensors(cell) for cell in (by_seed.values() if row.ignores_order else row.cells)]
    if not all(tables):
        return math.nan, math.nan
    by_skill = zip(*tables, strict=True)
    return bootstrap_interval([torch.stack([one[: min(map(len, found))] for one in found]) for found in by_skill])


def bootstrap_interval(scores: Sequence[torch.Tensor]) -> tuple[float, float]:
    """Compute the 95 % interval of a mean score by a bootstrap over trainings and, inside each skill, questions.

    Args:
        scores: for each skill, [C, Q]: of each of C trainings, the scores of its Q questions.

    Returns:
        The lower and the upper end.
    """
    num_cells = len(scores[0])
    generator = torch.Generator().manual_seed(0)
    draws = torch.randint(num_cells, (_RESAMPLES, num_cells), generator=generator)
    means = torch.zeros(_RESAMPLES, num_cells)
    for scores_CQ in scores:
        size = scores_CQ.shape[1]
        picks_RQ = torch.randint(size, (_RESAMPLES, size), generator=generator)
        # the same questions for every training of a resample: they are what was sampled
        means += scores_CQ[:, picks_RQ].mean(-1).T / len(scores)
    drawn = means.gather(1, draws).mean(1).sort().values
    tail = round((1 - _COVERAGE) / 2 * _RESAMPLES)
    return drawn[tail].item(), drawn[-tail - 1].item()


def _score_tensors(cell: CellResult) -> list[torch.Tensor]:
    kept = [cell.answers.get(skill, {}).get(cell.mode, []) for skill in sorted(cell.skills)]
    return [torch.tensor([answer.score for answer in answers]) for answers in kept] if all(kept) else []
