"""All that a report says, as tables of words and as JSON; ``html.py`` decides how it looks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from growlm.bench.report.cell_metric import MetricGroup, known_metrics, known_tables
from growlm.bench.report.definitions import COMPOSITES, MODE_TITLES, ROUTING, SHARE, TITLES
from growlm.bench.report.desiderata import blimp_change, desiderata, desiderata_table
from growlm.bench.report.efficiency import common_budget, efficiency_group
from growlm.bench.report.exposure import EXPOSURE
from growlm.bench.report.few import Few, few_json, few_tables
from growlm.bench.report.general import GENERAL
from growlm.bench.report.plasticity import ALONE, plasticity_table
from growlm.bench.report.reference_lines import references, share_of_range, usable_floor
from growlm.bench.report.significance import Comparison, compare, interval
from growlm.bench.report.statistics import (
    MATRIX_METRICS,
    Row,
    Spread,
    costs,
    matrix_metrics,
    mean_matrix,
    modes_measured,
)
from growlm.bench.report.table import NOT_KNOWN, Table, number, written
from growlm.manifest.scores import MODES
from growlm.skills.metric import higher_is_better
from growlm.terminal import counted

FORMAT_VERSION = 2
_REASONS = {
    "ap": "a last score was not measured",
    "bwt": "needs each skill's score after its own phase",
    "forgetting": "needs --matrix lower",
    "learning_accuracy": "needs each skill's score after its own phase",
    "fwt": "needs --matrix full",
}
_OWN_MODE = "Set off: the mode that the method's authors intend."
_LEFT_OUT = "Entries without a score in this mode are left out."
_NOT_IN_MODE = dict.fromkeys(_REASONS, "not measured in this mode")
_AT_ONCE = dict.fromkeys(("bwt", "forgetting", "learning_accuracy", "fwt"), "one phase")


def environment(rows: Sequence[Row]) -> list[str]:
    """List versions and machines of all cells, such as ``torch 2.9.0``."""
    return sorted({f"{key} {value}" for row in rows for cell in row.cells for key, value in cell.environment.items()})


@dataclass(frozen=True)
class Summary:
    """What a report says about the finished cells of a benchmark.

    Args:
        rows: the entries.
        unfinished: how many cells are not finished.
        few: entries that were trained on few examples, by their number.
    """

    rows: tuple[Row, ...]
    unfinished: int
    few: Few = field(default_factory=dict)

    @property
    def percent(self) -> bool:
        """Whether all scores are shares, which are shown from 0 to 100."""
        metrics = {metric for row in self.rows for cell in row.cells for metric in cell.scores.metrics.values()}
        return all(higher_is_better(metric or "") for metric in metrics)

    @property
    def joint(self) -> Row | None:
        """The entry that learns all skills at once, which composition is measured against."""
        return next((row for row in self.rows if row.cells[0].at_once), None)

    def share(self, row: Row) -> float:
        """Return where an entry lies in the usable range, as a share; NaN without joint training above its floor."""
        if self.joint is None or not self.percent:
            return math.nan
        top = self.joint.metric(self.joint.mode, "ap").mean
        return share_of_range(row.metric(row.mode, "ap").mean, usable_floor(self.rows), top)

    @property
    def no_range(self) -> bool:
        """Whether even joint training is no better than the references, so that there is no range to be used."""
        if self.joint is None or not self.percent:
            return False
        return self.joint.metric(self.joint.mode, "ap").mean <= usable_floor(self.rows)

    @property
    def why_no_share(self) -> str:
        """Why no entry has a place in the usable range, where none has."""
        if not self.percent:
            return "scores are no shares"
        return "needs joint training" if self.joint is None else "joint training is below a reference"

    def title(self, row: Row) -> str:
        """Return an entry's label with its number in this report."""
        return f"{self.rows.index(row) + 1} {row.label}"

    def score(self, spread: Spread, reason: str = "") -> str:
        """Write a score for people."""
        return written(spread, self.decimals, self.scale, reason=reason)

    @property
    def scale(self) -> float:
        """Factor of the scores: percent for shares, 1 for losses."""
        return 100.0 if self.percent else 1.0

    @property
    def decimals(self) -> int:
        """Decimals of the scores."""
        return 1 if self.percent else 3

    @property
    def sequential(self) -> list[Row]:
        """The entries that learn one skill after another in one model; all entries if none does.

        The others, joint training and a model for each skill, bound what these can reach.
        """
        return [row for row in self.rows if not row.cells[0].at_once and row.method != ALONE] or list(self.rows)

    def comparison(self, row: Row) -> Comparison | None:
        """Compare an entry with the best other one that learns one skill after another; None if there is no other."""
        other = next((other for other in [*self.sequential, *self.rows] if other is not row), None)
        return None if other is None else compare(row, other)

    @property
    def groups(self) -> tuple[MetricGroup, ...]:
        """What is shown where it was measured, a table for each."""
        return GENERAL, EXPOSURE, efficiency_group(self.rows, self.scale, self.decimals)

    def tables(self) -> list[Table]:
        """List all tables, the most important first."""
        own = self._modes_table(
            "own", "Each method in its own inference mode", {row.label: row.mode for row in self.rows}
        )
        modes = [
            self._modes_table(mode, f"Mode {MODE_TITLES[mode]}", {row.label: mode for row in self.rows})
            for mode in modes_measured(self.rows)
        ]
        composites = [self._composites_table()] if self.rows[0].cells[0].composites else []
        return [
            own,
            self._test_table(),
            self._per_skill_table(),
            self._per_seed_table(),
            desiderata_table(self.rows, self.title, self.joint),
            *(table for group in self.groups for table in known_tables(group, self.rows, self.title)),
            *few_tables(self.rows, self.few, self.title, self.score),
            plasticity_table(self.rows, self.title, self.score),
            self._cost_table(),
            *composites,
            *modes,
        ]

    def to_json(self) -> dict[str, Any]:
        """Return all metrics for ``results.json``; ``numbers.py`` reads them back."""
        return {
            "format_version": FORMAT_VERSION,
            "stream": self.rows[0].cells[0].settings["stream"],
            "base": self.rows[0].cells[0].base,
            "unfinished_cells": self.unfinished,
            "environment": environment(self.rows),
            "references": {reference.title: reference.by_skill for reference in references(self.rows)},
            "data": {skill: kept["test"] for skill, kept in self.sequential[0].cells[0].data.items()},
            "entries": [self._entry_json(row) for row in self.rows],
        }

    def _entry_json(self, row: Row) -> dict[str, Any]:
        budget = common_budget(self.rows)
        wanted = {name: spread.to_json() for name, spread in desiderata(row, self.joint, budget).items()}
        names = costs(row.cells[0])
        settings = row.cells[0].settings
        return {
            "label": row.label,
            "method": row.method,
            "options": settings["options"],
            **({"per_skill": settings["per_skill"]} if "per_skill" in settings else {}),
            "phase": settings["phase"],
            "mode": row.mode,
            "seeds": sorted({cell.settings["seed"] for cell in row.cells}),
            "orders": {order: list(cells[0].skills) for order, cells in row.by_order().items()},
            "metrics": {mode: {name: row.metric(mode, name).to_json() for name in MATRIX_METRICS} for mode in MODES},
            "comparison": self._comparison_json(row),
            "share_of_range": None if math.isnan(self.share(row)) else self.share(row),
            "routing_accuracy": row.routing_accuracy().to_json(),
            "matrices": {
                order: {mode: mean_matrix(cells, mode) for mode in MODES} for order, cells in row.by_order().items()
            },
            "desiderata": wanted,
            **{
                group.name: {metric.key: metric.spread(row).to_json() for metric in known_metrics(group, self.rows)}
                for group in self.groups
            },
            "importance": row.cells[0].importance or None,
            "few": few_json(row, self.few),
            "blimp_change": row.spread(blimp_change).to_json(),
            "composites": {mode: row.composites(mode).to_json() for mode in ("base", *MODES)},
            "costs": {name: row.cost(name).to_json() for name in names},
        }

    def _comparison_json(self, row: Row) -> dict[str, Any] | None:
        found = self.comparison(row)
        if found is None:
            return None
        low, high = interval(row)
        numbers = {"difference": found.difference, "p_value": found.p_value, "low": low, "high": high}
        known = {key: None if math.isnan(value) else value for key, value in numbers.items()}
        return {"other": found.other, "pairs": found.pairs, "unit": found.unit, "reason": found.reason, **known}

    def _modes_table(self, name: str, title: str, mode: Mapping[str, str]) -> Table:
        with_mode = name == "own"
        has_composites = bool(self.rows[0].cells[0].composites)
        columns = ["method", *(["mode"] if with_mode else []), *(TITLES[metric] for metric in MATRIX_METRICS)]
        columns += [COMPOSITES] if has_composites else []
        columns += [ROUTING] if name in ("own", "routed") else []
        columns += [SHARE] if with_mode else []
        measured = [row for row in self.rows if with_mode or row.is_measured(mode[row.label])]
        rows: list[tuple[str, ...]] = []
        for row in measured:
            used = mode[row.label]
            reasons = _REASONS if row.metric(used, "ap").count else _NOT_IN_MODE
            reasons = reasons | (_AT_ONCE if row.cells[0].at_once or len(row.cells[0].skills) == 1 else {})
            cells = [self.title(row), *([used] if with_mode else [])]
            cells += [self.score(row.metric(used, metric), reasons[metric]) for metric in MATRIX_METRICS]
            cells += [self.score(row.composites(used))] if has_composites else []
            if name in ("own", "routed"):
                reason = "no router"
                cells.append(written(row.routing_accuracy(), 1, 100, reason=reason) if used == "routed" else "")
            if with_mode:
                cells.append(written(Spread.of([self.share(row)]), 0, 100, reason=self.why_no_share))
            rows.append((*cells, str(row.independent_cells)))
        strong = () if with_mode else tuple(i for i, row in enumerate(measured) if row.mode == mode[row.label])
        notes = [_OWN_MODE] if strong else []
        notes += [_LEFT_OUT] if len(measured) < len(self.rows) else []
        if with_mode:  # what all of them are read against; it has no cells
            for reference in references(self.rows):
                score = self.score(Spread.of([reference.mean(self.rows[0].cells[0].skills)]), "not of every skill")
                rows.append((reference.title, "", score, *[""] * (len(columns) - 2)))
        return Table(name, title, (*columns, "cells"), tuple(rows), strong, " ".join(notes))

    def _test_table(self) -> Table:
        columns = ("method", "AP ↑", "95 % interval", "best other", "difference", "p", "pairs", "remark")
        rows: list[tuple[str, ...]] = []
        for row in self.rows:
            low, high = (self.scale * end for end in interval(row))
            ends = f"{number(low, self.decimals)} to {number(high, self.decimals)}"
            cells = [self.title(row), self.score(row.metric(row.mode, "ap"), _REASONS["ap"])]
            cells.append(f"{NOT_KNOWN} (no answers kept)" if math.isnan(low) else ends)
            found = self.comparison(row)
            if found is None:
                rows.append((*cells, "", "", "", "", "no other entry"))
                continue
            difference = Spread.of([found.difference])
            p_value = NOT_KNOWN if math.isnan(found.p_value) else f"{found.p_value:.2g}"
            pairs = counted(found.pairs, found.unit)
            rows.append((*cells, found.other, self.score(difference), p_value, pairs, found.reason))
        return Table("test", "Against the best other entry", columns, tuple(rows))

    def _per_skill_table(self) -> Table:
        skills = sorted(self.rows[0].cells[0].skills)
        rows = [
            (self.title(row), *(self.score(row.last_score(skill), _REASONS["ap"]) for skill in skills))
            for row in self.rows
        ]
        for reference in references(self.rows):
            scores = (self.score(Spread.of([reference.by_skill.get(skill)]), "undefined") for skill in skills)
            rows.append((reference.title, *scores))
        title = "Last score on each skill, in each method's own mode"
        return Table("per-skill", title, ("method", *skills), tuple(rows))

    def _per_seed_table(self) -> Table:
        places = sorted({(str(c.settings["order"]), c.settings["seed"]) for row in self.rows for c in row.cells})
        rows: list[tuple[str, ...]] = []
        for row in self.rows:
            found = {(str(c.settings["order"]), c.settings["seed"]): c for c in row.cells}
            scores = [
                written(Spread.of([matrix_metrics(found[place].scores, row.mode)["ap"]]), self.decimals, self.scale)
                if place in found
                else ""
                for place in places
            ]
            rows.append((self.title(row), *scores))
        columns = ("method", *(f"order {order}, seed {seed}" for order, seed in places))
        return Table("per-seed", "AP of each cell, in each method's own mode", columns, tuple(rows))

    def _cost_table(self) -> Table:
        columns: dict[str, tuple[str, float, int]] = {
            "trained": ("trained, M", 1e-6, 2),
            "active": ("active, M", 1e-6, 2),
            "stored_bytes": ("stored, MB", 1e-6, 1),
            "tokens": ("tokens, k", 1e-3, 0),
            "old_share": ("old rows, %", 100, 1),
            "seconds": ("training, s", 1, 0),
            "wall_seconds": ("all, s", 1, 0),
            "flops": ("TFLOPs", 1e-12, 2),
            "peak_bytes": ("peak, MB", 1e-6, 0),
        }
        rows: list[tuple[str, ...]] = []
        for row in self.rows:
            cells = [
                written(row.cost(key), decimals, scale, spread=False) for key, (_, scale, decimals) in columns.items()
            ]
            rows.append((self.title(row), *cells))
        titles = ("method", *(title for title, _, _ in columns.values()))
        return Table("cost", "Cost, means over the cells", titles, tuple(rows))

    def _composites_table(self) -> Table:
        names = list(self.rows[0].cells[0].composites)
        base = [Spread.of(cell.composites[name]["base"] for row in self.rows for cell in row.cells) for name in names]
        rows = [("bare base", *(self.score(Spread(spread.mean, math.nan, spread.count)) for spread in base))]
        for row in self.rows:
            rows.append((self.title(row), *(self.score(row.composites(row.mode, [name])) for name in names)))
        title = "Composite skills: tested only, each needs several learned ones; each method in its own mode"
        return Table("composites", title, ("method", *(name.replace("_", " + ") for name in names)), tuple(rows))
