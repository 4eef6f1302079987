"""One metric, with its definition, for each of the five desiderata of continual learning.

The five are those of Lichkovski, "Defining continual learning" (2026), made measurable; the operational definitions are
growlm's own. All are in the inference mode that the method's authors intend.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from growlm.bench.report.curves import learning_curve
from growlm.bench.report.efficiency import common_budget
from growlm.bench.report.general import DIVERGENCE
from growlm.bench.report.statistics import Row, Spread, composite_score, costs, signed
from growlm.bench.report.table import Table, written
from growlm.bench.run.result import CellResult

BLIMP = "BLiMP, points ↑"
_SOLVED = 0.5


@dataclass(frozen=True)
class Desideratum:
    """What one metric means.

    Args:
        title: what tables call it; an arrow points to the better side.
        definition: how it is computed.
        decimals: with how many decimals it is printed.
        reason: why it is undefined, where it is.
    """

    title: str
    definition: str
    decimals: int = 2
    reason: str = "not measured"


DESIDERATA = {
    "retention": Desideratum(
        "retention ↓",
        "General ability that training cost: bits per byte on a text that no skill trains (the phases' option stories) "
        "after the last phase minus before the first. 0: nothing is lost; above 0: it got worse. Undefined where it "
        "was measured on TinyWorld's own stories, whose like the skill chat trains.",
        4,
        "needs a text no skill trains: --phase stories",
    ),
    "exposure": Desideratum(
        "sequential exposure ↑",
        "Share of the rows a phase trains on that are of its own skill. 1: the past is never seen again; replay lowers "
        "it by the replayed share; training on all n skills at once has 1/n. What a memory keeps of the past and reads "
        "when it answers (knn_lm, k_shot) is no training: it counts among the kept rows.",
        3,
    ),
    "shift": Desideratum(
        "shift ↑",
        "Score after the last phase minus the bare base's, on the skill that is strangest to the base (of the greatest "
        "loss per token on the bare base); mean over the orders in which others are learned after it. Undefined in an "
        "order that ends with it, where nothing could be forgotten.",
        reason="the strangest skill ends every order",
    ),
    "efficiency": Desideratum(
        "efficiency ↑",
        "Mean score over all skills while the same number of FLOPs is spent by everyone: the mean height of the "
        "learning curve up to what the cheapest entry took in all. A skill counts with the bare base's score until its "
        "turn comes.",
    ),
    "composition": Desideratum(
        "composition ↑",
        "On skills that are tested only and need several learned ones at once: (score - bare base) / (joint training - "
        "bare base), means over those that joint training of the same seed solves to at least a half. 1: as good as "
        "joint training. Undefined where it solves none: what nobody learns says nothing of composing.",
        reason="needs composites that joint training of the same seed solves to a half",
    ),
}


def desiderata(row: Row, joint: Row | None, budget: float) -> dict[str, Spread]:
    """Compute the desiderata of an entry.

    Args:
        row: the entry.
        joint: the entry that learns all skills at once; without it composition is undefined.
        budget: the FLOPs at which entries are compared; see ``common_budget``.

    Returns:
        By the keys of ``DESIDERATA``.
    """
    return {
        "retention": row.spread(retention),
        "exposure": row.spread(exposure),
        "shift": row.spread(shift),
        "efficiency": row.spread(lambda cell: efficiency(cell, budget)),
        "composition": row.spread(lambda cell: composition(cell, joint.cells if joint else ())),
    }


def desiderata_table(rows: Sequence[Row], title: Callable[[Row], str], joint: Row | None) -> Table:
    """Return the table of the desiderata, with what else was measured of general ability.

    Args:
        rows: the entries.
        title: what a row is called.
        joint: the entry that learns all skills at once.
    """
    divergence = DIVERGENCE.is_known(rows)
    grammar = any(cell.blimp for row in rows for cell in row.cells)
    budget = common_budget(rows)
    columns = ["method", *(wanted.title for wanted in DESIDERATA.values())]
    columns += [DIVERGENCE.title] if divergence else []
    columns += [BLIMP] if grammar else []
    lines: list[tuple[str, ...]] = []
    for row in rows:
        found = desiderata(row, joint, budget)
        cells = [written(found[key], w.decimals, reason=w.reason) for key, w in DESIDERATA.items()]
        cells += [DIVERGENCE.written(row)] if divergence else []
        cells += [written(row.spread(blimp_change), 1, 100)] if grammar else []
        lines.append((title(row), *cells))
    note = "Retention is in bits per byte, KL in nats; the others are shares of 1."
    return Table("desiderata", "The five desiderata of continual learning", tuple(columns), tuple(lines), (), note)


def retention(cell: CellResult) -> float:
    """Compute what general ability was lost, in bits per byte; see ``DESIDERATA``."""
    if cell.settings["phase"].get("stories") is None:
        return math.nan
    bits = cell.stories.get(cell.mode, [])
    first, last = (bits[0], bits[-1]) if bits else (None, None)
    return math.nan if first is None or last is None else last - first


def blimp_change(cell: CellResult) -> float:
    """Compute how BLiMP's accuracy changed from the bare base to all modules together; NaN if not measured."""
    return cell.blimp["all"] - cell.blimp["base"] if cell.blimp else math.nan


def exposure(cell: CellResult) -> float:
    """Compute the share of rows that are of the phase's own skill; see ``DESIDERATA``."""
    return 1 / len(cell.skills) if cell.at_once else 1 - costs(cell)["old_share"]


def shift(cell: CellResult) -> float:
    """Compute the gain on the skill that is strangest to the base; see ``DESIDERATA``."""
    strangeness = cell.losses.modes[cell.mode][0]
    known = [(loss, column) for column, loss in enumerate(strangeness) if loss is not None]
    if len(known) < len(cell.skills):
        return math.nan
    _, column = max(known)
    if not cell.at_once and column == len(cell.skills) - 1:
        return math.nan  # the last one of its order: nothing came after it
    rows = signed(cell.scores, cell.mode)
    first, last = rows[0][column], rows[-1][column]
    return math.nan if first is None or last is None else last - first


def efficiency(cell: CellResult, budget: float) -> float:
    """Compute the mean height of the learning curve up to a number of FLOPs; see ``DESIDERATA``.

    Args:
        cell: the cell.
        budget: FLOPs, at most those of the cell.
    """
    curve = learning_curve(cell, cell.mode, "flops")
    if curve and not curve[-1][0]:
        return curve[-1][1]  # nothing was trained
    if len(curve) < 2 or not 0 < budget <= curve[-1][0]:
        return math.nan
    area = 0.0
    for (start, low), (end, high) in pairwise(curve):
        width = min(end, budget) - start
        if width > 0:
            at_end = low + (high - low) * width / (end - start)
            area += width * (low + at_end) / 2
    return area / budget


def composition(cell: CellResult, joint: Sequence[CellResult]) -> float:
    """Compute how much of joint training's gain on composite skills is reached; see ``DESIDERATA``.

    Args:
        cell: the cell.
        joint: cells of joint training; the one of the same seed counts.
    """
    partner = next((other for other in joint if other.settings["seed"] == cell.settings["seed"]), None)
    if partner is None:
        return math.nan
    solved = [
        name
        for name, scores in partner.composites.items()
        if (score := scores.get(partner.mode)) is not None and score >= _SOLVED and name in cell.composites
    ]
    base = composite_score(cell, "base", solved)
    possible = composite_score(partner, partner.mode, solved) - base
    return (composite_score(cell, cell.mode, solved) - base) / possible if possible > 0 else math.nan
