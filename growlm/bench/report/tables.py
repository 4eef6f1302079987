"""All that a report says, as tables of words and as JSON; how it looks is the page's business."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table as RichTable

from growlm.bench.report.desiderata import DESIDERATA, blimp_change, common_budget, desiderata
from growlm.bench.report.statistics import (
    MATRIX_FIGURES,
    Row,
    Spread,
    composite_score,
    costs,
    mean_matrix,
    modes_measured,
)
from growlm.manifest.scores import MODES
from growlm.skills.metric import higher_is_better

FORMAT_VERSION = 1
NOT_KNOWN = "n/a"
TITLES = {
    "ap": "AP ↑",
    "bwt": "BWT ↑",
    "forgetting": "forgetting ↓",
    "learning_accuracy": "learning accuracy ↑",
    "fwt": "FWT ↑",
}
MODE_TITLES = {
    "oracle": "oracle (the skill is named)",
    "routed": "routed (the router chooses)",
    "all": "all (everything is on)",
}
SIGNS = (
    "AP: mean score over all skills after the last phase. Learning accuracy: mean score of each skill right after its "
    "own phase. BWT: mean change of a skill's score from right after its own phase to the end; negative means "
    "forgotten. Forgetting: mean fall from a skill's best score to its last one; never negative, lower is better. FWT: "
    "mean gain over the bare base on a skill before its own phase, from the phases before it; positive means they "
    "helped. Arrows point to the better side. ± is the standard deviation over seeds and orders (n - 1)."
)


@dataclass(frozen=True)
class Table:
    """A table of words.

    Args:
        name: what it is called in identifiers.
        title: its caption.
        columns: the columns' titles.
        rows: the cells, as many as there are columns; the first is a row's title.
        strong: numbers of the rows that stand out.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: tuple[int, ...] = ()


@dataclass(frozen=True)
class Summary:
    """What a report says.

    Args:
        rows: the entries.
        unfinished: how many cells are not finished.
    """

    rows: tuple[Row, ...]
    unfinished: int

    @property
    def percent(self) -> bool:
        """Whether all scores are shares, which are shown from 0 to 100."""
        metrics = {metric for row in self.rows for cell in row.cells for metric in cell.scores.metrics.values()}
        return all(higher_is_better(metric or "") for metric in metrics)

    @property
    def joint(self) -> Row | None:
        """The entry that learns all skills at once: the yardstick of composition."""
        return next((row for row in self.rows if row.cells[0].at_once), None)

    def title(self, row: Row) -> str:
        """Names an entry with its number in this report."""
        return f"{self.rows.index(row) + 1} {row.label}"

    def score(self, spread: Spread) -> str:
        """Writes a score for people."""
        scale, decimals = (100, 1) if self.percent else (1, 3)
        return written(spread, decimals, scale)

    def tables(self) -> list[Table]:
        """Lists all tables, the most important first."""
        own = self._modes_table(
            "own", "In each method's own inference mode", {row.label: row.mode for row in self.rows}
        )
        modes = [
            self._modes_table(mode, f"Everyone in the mode {MODE_TITLES[mode]}", {row.label: mode for row in self.rows})
            for mode in modes_measured(self.rows)
        ]
        composites = [self._composites_table()] if self.rows[0].cells[0].composites else []
        return [own, self._desiderata_table(), self._cost_table(), *composites, *modes]

    def to_json(self) -> dict[str, Any]:
        """Gives all figures for ``results.json``."""
        return {
            "format_version": FORMAT_VERSION,
            "stream": self.rows[0].cells[0].settings["stream"],
            "base": self.rows[0].cells[0].base,
            "unfinished_cells": self.unfinished,
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
            **({"by_skill": settings["by_skill"]} if "by_skill" in settings else {}),
            "phase": settings["phase"],
            "mode": row.mode,
            "seeds": sorted({cell.settings["seed"] for cell in row.cells}),
            "orders": {order: list(cells[0].skills) for order, cells in row.by_order().items()},
            "figures": {mode: {name: row.figure(mode, name).to_json() for name in MATRIX_FIGURES} for mode in MODES},
            "routing_accuracy": row.routing_accuracy().to_json(),
            "matrices": {
                order: {mode: mean_matrix(cells, mode) for mode in MODES} for order, cells in row.by_order().items()
            },
            "desiderata": wanted,
            "blimp_change": Spread.of(map(blimp_change, row.cells)).to_json(),
            "composites": {
                mode: Spread.of(composite_score(cell, mode) for cell in row.cells).to_json()
                for mode in ("base", *MODES)
            },
            "costs": {name: Spread.of(costs(cell)[name] for cell in row.cells).to_json() for name in names},
        }

    def _modes_table(self, name: str, title: str, mode: Mapping[str, str]) -> Table:
        with_mode = name == "own"
        shown = [f for f in MATRIX_FIGURES if any(row.figure(mode[row.label], f).count for row in self.rows)]
        has_composites = bool(self.rows[0].cells[0].composites)
        columns = ["method", *(["mode"] if with_mode else []), *(TITLES[figure] for figure in shown)]
        columns += ["composites ↑"] if has_composites else []
        columns += ["routing accuracy ↑"] if name in ("own", "routed") else []
        rows: list[tuple[str, ...]] = []
        for row in self.rows:
            used = mode[row.label]
            cells = [self.title(row), *([used] if with_mode else [])]
            cells += [self.score(row.figure(used, figure)) for figure in shown]
            cells += [self.score(Spread.of(composite_score(c, used) for c in row.cells))] if has_composites else []
            if name in ("own", "routed"):
                cells.append(written(row.routing_accuracy(), 1, 100) if used == "routed" else "")
            rows.append((*cells, str(len(row.cells))))
        strong = () if with_mode else tuple(i for i, row in enumerate(self.rows) if row.mode == mode[row.label])
        return Table(name, title, (*columns, "cells"), tuple(rows), strong)

    def _desiderata_table(self) -> Table:
        grammar = any(cell.blimp for row in self.rows for cell in row.cells)
        budget = common_budget(self.rows)
        columns = ["method", *(wanted.title for wanted in DESIDERATA.values())]
        rows: list[tuple[str, ...]] = []
        for row in self.rows:
            figures = desiderata(row, self.joint, budget)
            cells = [self.title(row), *(written(figures[key], DESIDERATA[key].decimals) for key in DESIDERATA)]
            cells += [written(Spread.of(map(blimp_change, row.cells)), 1, 100)] if grammar else []
            rows.append(tuple(cells))
        columns += ["BLiMP, points ↑"] if grammar else []
        return Table("desiderata", "What is wanted of continual learning, one number each", tuple(columns), tuple(rows))

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
            found = [costs(cell) for cell in row.cells]
            cells = [
                written(Spread.of(cost[key] for cost in found), decimals, scale, spread=False)
                for key, (_, scale, decimals) in columns.items()
            ]
            rows.append((self.title(row), *cells))
        titles = ("method", *(title for title, _, _ in columns.values()))
        return Table("cost", "What it cost, means over the cells", titles, tuple(rows))

    def _composites_table(self) -> Table:
        names = list(self.rows[0].cells[0].composites)
        base = [Spread.of(cell.composites[name]["base"] for row in self.rows for cell in row.cells) for name in names]
        rows = [("bare base", *(self.score(Spread(spread.mean, math.nan, spread.count)) for spread in base))]
        for row in self.rows:
            spreads = [Spread.of(cell.composites[name][row.mode] for cell in row.cells) for name in names]
            rows.append((self.title(row), *map(self.score, spreads)))
        title = "Skills that are tested only and need several others at once, in each method's own mode"
        return Table("composites", title, ("method", *(name.replace("_", " + ") for name in names)), tuple(rows))


def written(measured: Spread, decimals: int, scale: float = 1, spread: bool = True) -> str:
    """Writes a figure for people.

    Args:
        measured: the figure.
        decimals: with how many decimals.
        scale: what it is multiplied by.
        spread: with its standard deviation, where that is known.
    """
    if math.isnan(measured.mean):
        return NOT_KNOWN
    mean = f"{scale * measured.mean:,.{decimals}f}"
    if float(mean.replace(",", "")) == 0:
        mean = mean.lstrip("-")  # no minus before nothing
    if not spread or math.isnan(measured.deviation):
        return mean
    return f"{mean} ± {scale * measured.deviation:.{decimals}f}"


def rich_table(table: Table) -> RichTable:
    """Puts a table on the terminal.

    Args:
        table: the table.
    """
    shown = RichTable(title=table.title, title_justify="left")
    for number, column in enumerate(table.columns):
        shown.add_column(column, justify="right" if number else "left")
    for row in table.rows:
        shown.add_row(*map(escape, row))
    return shown
