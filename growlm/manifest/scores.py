"""Scores of every skill after every phase, as JSON: the one format that stacks, benchmarks and reports share."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from growlm.errors import GrowlmError
from growlm.terminal import counted

FORMAT_VERSION = 2
MODES = ("oracle", "routed", "all")
"""Inference modes: the skill is named, the router chooses, everything is on. They are never mixed in one column."""

Matrix = list[list[float | None]]
"""R[t, i]: the score after phase t (row 0: the bare base) on the skill of phase i + 1; null: not measured."""


@dataclass(frozen=True)
class ScoreTables:
    """A matrix of scores for each inference mode; they are never mixed.

    Args:
        skills: n names, in the order of the phases.
        modes: by mode, a matrix of n + 1 rows and n columns.
        metrics: by skill, what was measured, where that is known.
    """

    skills: tuple[str, ...]
    modes: dict[str, Matrix]
    metrics: dict[str, str | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what a JSON file holds; ``from_json`` reads it back without loss."""
        return {
            "format_version": FORMAT_VERSION,
            "skills": list(self.skills),
            "metrics": self.metrics,
            "modes": self.modes,
        }

    @classmethod
    def from_json(cls, content: Any, where: str = "scores") -> Self:
        """Read what ``to_json`` returned.

        Args:
            content: the JSON object.
            where: what it was read from, for messages.

        Returns:
            The tables.

        Raises:
            GrowlmError: for another format version, or fields that are missing, unknown or of the wrong shape or type.
        """
        version = content.get("format_version") if isinstance(content, Mapping) else None
        if version != FORMAT_VERSION or isinstance(version, bool):
            raise GrowlmError(
                f"{where}: scores of format version {version!r}, this growlm reads version {FORMAT_VERSION}: measure "
                "again with this growlm, or read them with the one that wrote them"
            )
        if set(content) != {"format_version", "skills", "metrics", "modes"}:
            raise GrowlmError(
                f"{where}: scores have 'skills', 'metrics' and 'modes', found {sorted(map(str, content))}"
            )
        skills, metrics, modes = content["skills"], content["metrics"], content["modes"]
        if not _names(skills):
            raise GrowlmError(f"{where}: 'skills' is {skills!r}, expected a list of names, none of them twice")
        if not isinstance(metrics, dict) or not all(isinstance(m, str | None) for m in metrics.values()):
            raise GrowlmError(f"{where}: 'metrics' is {metrics!r}, expected a metric's name for each skill")
        if not isinstance(modes, dict) or not set(modes) <= set(MODES):
            raise GrowlmError(f"{where}: 'modes' has to hold matrices under {', '.join(MODES)}")
        matrices = {mode: _matrix(matrix, len(skills), f"{where}: mode {mode!r}") for mode, matrix in modes.items()}
        return cls(tuple(skills), matrices, metrics)


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(n, str) for n in value) and len(set(value)) == len(value)


def _matrix(rows: Any, num_skills: int, where: str) -> Matrix:
    if not isinstance(rows, list) or len(rows) != num_skills + 1:
        raise GrowlmError(f"{where}: expected {num_skills + 1} rows, the bare base's and one for each phase")
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != num_skills:
            raise GrowlmError(f"{where}, row {number}: expected {counted(num_skills, 'cell')}, one for each skill")
        for cell in row:
            number_like = isinstance(cell, int | float) and not isinstance(cell, bool) and math.isfinite(cell)
            if cell is not None and not number_like:
                raise GrowlmError(f"{where}, row {number}: {cell!r} is not a score; write a number, or null for none")
    return rows
