"""The accuracy matrix R[t, i]: the score on skill i after phase t, and the metrics that follow from it."""

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torchmetrics import Metric

from growlm.errors import GrowlmError, unknown_name
from growlm.manifest.scores import Matrix, ScoreTables
from growlm.terminal import counted

Cell = tuple[int, int]
"""After which phase, on which skill."""


class AccuracyMatrix(Metric):
    r"""Scores of every skill after every phase, and what they say about learning and forgetting.

    Row 0 is the bare base, row t the stack after t phases; skills count from 0, so skill i is learned in phase i + 1.
    With n skills, and scores of which higher is better:

    - ``ap``, average performance: ``mean over i of R[n, i]``. Higher is better.
    - ``learning_accuracy``: ``mean over i of R[i+1, i]``, each skill right after its own phase. Higher is
      better.
    - ``bwt``, backward transfer: ``mean over i < n-1 of R[n, i] - R[i+1, i]``. Negative: forgotten.
      (Lopez-Paz and Ranzato 2017, arXiv 1706.08840.)
    - ``forgetting``: ``mean over i < n-1 of max over t > i of R[t, i] - R[n, i]``. Never negative,
      lower is better. (Chaudhry et al. 2018, arXiv 1801.10112, here with the last row and without the rows before the
      skill's own phase: what was not yet taught cannot be forgotten, and the lower triangle suffices.)
    - ``fwt``, forward transfer in the definition of Lopez-Paz and Ranzato with the bare base as reference:
      ``mean over i >= 1 of R[i, i] - R[0, i]``, how much the phases before a skill's own helped with it.
      Positive: helped. It needs cells above the diagonal.

    A metric whose cells are not all there is NaN, and ``missing`` names them; so are ``bwt``, ``forgetting`` and
    ``fwt`` of a single skill, for which they are not defined. Scores of oracle, routed and all-modules inference are
    three matrices, never one.

    Args:
        num_skills: n, how many skills the stream has.
        **kwargs: what every torchmetrics metric takes.

    Raises:
        GrowlmError: if there is no skill at all.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    scores: Tensor

    def __init__(self, num_skills: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_skills < 1:
            raise GrowlmError(f"an accuracy matrix of {num_skills} skills: give at least 1")
        self.num_skills = num_skills
        empty = torch.full((num_skills + 1, num_skills), torch.nan, dtype=torch.float64)
        self.add_state("scores", default=empty, dist_reduce_fx=_united, persistent=True)

    def update(self, after: int, skill: int, score: float | Tensor) -> None:
        """Record one score.

        Args:
            after: t, how many phases the stack has had; 0 is the bare base.
            skill: i, counted from 0.
            score: the score, higher is better.

        Raises:
            GrowlmError: if there is no such cell, it has another score already, or the score is not finite.
        """
        n = self.num_skills
        if not 0 <= after <= n:
            raise GrowlmError(
                f"no row {after} in a matrix of {counted(n, 'skill')}: 'after' is 0 (the bare base) to {n}"
            )
        if not 0 <= skill < n:
            raise GrowlmError(f"no skill {skill} in a matrix of {counted(n, 'skill')}: they count from 0 to {n - 1}")
        value = float(score)
        if not math.isfinite(value):
            raise GrowlmError(f"the score of skill {skill} after phase {after} is {value}: leave out what was not run")
        recorded = self.scores[after, skill].item()
        if not math.isnan(recorded) and recorded != value:
            raise GrowlmError(
                f"skill {skill} after phase {after} has the score {recorded} already, found {value}: begin a new matrix"
            )
        self.scores[after, skill] = value

    def compute(self) -> dict[str, Tensor]:
        """Compute the metrics of the class's docstring.

        Returns:
            ``ap``, ``learning_accuracy``, ``bwt``, ``forgetting`` and ``fwt``, each a float64 scalar, NaN where cells
            are missing.
        """
        scores, n = self.scores, self.num_skills
        own = scores.diagonal(-1)  # R[i + 1, i]
        before = scores.diagonal()  # R[i, i], the last row left out
        # NaN anywhere between a skill's own phase and the end makes its maximum, and with it the mean, NaN
        best = torch.stack([scores[i + 1 :, i].max() for i in range(n)])
        return {
            "ap": scores[-1].mean(),
            "learning_accuracy": own.mean(),
            "bwt": (scores[-1] - own)[:-1].mean(),
            "forgetting": (best - scores[-1])[:-1].mean(),
            "fwt": (before - scores[0])[1:].mean(),
        }

    def missing(self) -> dict[str, list[Cell]]:
        """Return the cells that each metric still lacks.

        Returns:
            For each metric that is NaN for want of cells, these as (after, skill), in order.
        """
        unknown = self.scores.isnan()
        needed = {metric: sorted(cells) for metric, cells in _cells(self.num_skills).items()}
        lacking = {metric: [cell for cell in cells if unknown[cell]] for metric, cells in needed.items()}
        return {metric: cells for metric, cells in lacking.items() if cells}

    def to_json(self, skills: Sequence[str] = (), mode: str = "all") -> dict[str, Any]:
        """Return the recorded scores for a JSON file (``growlm.manifest.scores``); ``from_json`` reads them back.

        Args:
            skills: the skills' names; left out, they are called by their numbers.
            mode: the inference mode that was scored: ``oracle``, ``routed`` or ``all``.
        """
        names = tuple(skills) or tuple(map(str, range(self.num_skills)))
        rows = [[None if math.isnan(score) else score for score in row] for row in self.scores.tolist()]
        return ScoreTables(names, {mode: rows}, dict.fromkeys(names)).to_json()

    @classmethod
    def from_json(cls, content: Any, mode: str | None = None) -> Self:
        """Rebuild a matrix from what ``to_json`` gave, or from a stack's ``accuracy.json``.

        Args:
            content: the JSON object.
            mode: which inference mode; it may be left out where only one was scored.

        Returns:
            The matrix.

        Raises:
            GrowlmError: for another format version, fields that are missing or of the wrong type, or a mode that is
                not there.
        """
        tables = ScoreTables.from_json(content)
        if mode is None and len(tables.modes) == 1:
            (mode,) = tables.modes
        if mode is None:
            raise GrowlmError(f"scores of the modes {', '.join(tables.modes) or 'none'}: say which is meant")
        if mode not in tables.modes:
            raise unknown_name("mode in these scores", mode, tables.modes)
        return cls.from_rows(tables.modes[mode])

    @classmethod
    def from_rows(cls, rows: Matrix) -> Self:
        """Build a matrix from its rows.

        Args:
            rows: n + 1 rows of n cells, None where nothing was measured.
        """
        matrix = cls(len(rows) - 1)
        for after, row in enumerate(rows):
            for skill, score in enumerate(row):
                if score is not None:
                    matrix.update(after, skill, score)
        return matrix


def _cells(n: int) -> dict[str, set[Cell]]:
    """The cells that each metric is made of."""
    older = range(n - 1)
    return {
        "ap": {(n, i) for i in range(n)},
        "learning_accuracy": {(i + 1, i) for i in range(n)},
        "bwt": {cell for i in older for cell in ((n, i), (i + 1, i))},
        "forgetting": {(t, i) for i in older for t in range(i + 1, n + 1)},
        "fwt": {cell for i in range(1, n) for cell in ((i, i), (0, i))},
    }


def _united(stacked: Tensor) -> Tensor:
    """Unite the cells of several processes' matrices (first dimension); they may share cells but not differ."""
    known = ~stacked.isnan()
    lowest = stacked.masked_fill(~known, torch.inf).amin(0)
    highest = stacked.masked_fill(~known, -torch.inf).amax(0)
    differing = (known.any(0) & (lowest != highest)).nonzero().tolist()
    if differing:
        raise GrowlmError(f"two matrices differ in the cells (after, skill) {differing}: score each cell once")
    return lowest.masked_fill(~known.any(0), torch.nan)
