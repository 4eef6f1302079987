"""What scores are read against: the bare base, scores that need no model, and training on all skills at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from growlm.bench.report.statistics import Row, Spread, signed
from growlm.metrics.references import REFERENCE_TITLES

BASE = "bare base"
RANGE = (
    "Share of the usable range: (AP - floor) / (joint training's AP - floor); the floor is the mean over skills of the "
    "greatest of the bare base's score and the references that need no model. 0 %: nothing that a counter does not "
    "know; 100 %: as good as training on all skills at once."
)


@dataclass(frozen=True)
class Reference:
    """One line that scores are compared with.

    Args:
        key: what plots call it.
        title: what tables call it.
        by_skill: its score on each skill; a skill for which it is not defined is left out.
    """

    key: str
    title: str
    by_skill: dict[str, float]

    def mean(self, skills: Sequence[str]) -> float:
        """Return its mean score over skills; NaN unless it has all of them."""
        scores = [self.by_skill.get(skill, math.nan) for skill in skills]
        return math.fsum(scores) / len(scores)


def references(rows: Sequence[Row]) -> list[Reference]:
    """Collect the references of a benchmark: the bare base, and those without a model that any skill has."""
    cells = [cell for row in rows for cell in row.cells]
    skills = sorted(cells[0].skills)
    base = {
        skill: Spread.of(signed(cell.scores, cell.mode)[0][cell.skills.index(skill)] for cell in cells).mean
        for skill in skills
    }
    found = [Reference("base", BASE, {skill: score for skill, score in base.items() if not math.isnan(score)})]
    for key, title in REFERENCE_TITLES.items():
        scores = {skill: kept[key] for cell in cells for skill, kept in cell.references.items() if key in kept}
        if scores:
            found.append(Reference(key, title, scores))
    return found


def usable_floor(rows: Sequence[Row]) -> float:
    """Return the mean over skills of the greatest reference; see ``RANGE``. NaN if a skill has none."""
    known = references(rows)
    skills = rows[0].cells[0].skills
    best = [max((r.by_skill[skill] for r in known if skill in r.by_skill), default=math.nan) for skill in skills]
    return math.fsum(best) / len(best)


def share_of_range(score: float, floor: float, top: float) -> float:
    """Return where a score lies between floor and top, as a share; NaN where there is no range."""
    return (score - floor) / (top - floor) if top > floor else math.nan
