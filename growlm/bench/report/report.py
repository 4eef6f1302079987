"""From a folder of cells to its report: a page, figures as PNG, and all numbers as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from growlm.bench.report.desiderata import DESIDERATA
from growlm.bench.report.html import page
from growlm.bench.report.plots import (
    Curve,
    Figure,
    bars,
    curve,
    heat_map,
    importance,
    require_plots,
    scatter,
    write_png,
)
from growlm.bench.report.statistics import (
    Row,
    Spread,
    composite_score,
    costs,
    learning_curve,
    matrix_figures,
    mean_curve,
    mean_matrix,
    read_results,
    retention_curve,
    signed,
)
from growlm.bench.report.tables import MODE_TITLES, SIGNS, TITLES, Summary, Table, written
from growlm.bench.run.runner import REQUEST_FILE
from growlm.errors import one_line
from growlm.files import read_json, write_json, write_text
from growlm.manifest.scores import ScoreTables
from growlm.metrics.accuracy_matrix import AccuracyMatrix
from growlm.show.importance import ImportanceMap

PAGE, NUMBERS, PLOTS = "report.html", "results.json", "plots"

_NOTES = {
    "desiderata": "Retention is in bits per byte; the others are shares of 1. Each is defined below.",
    "cost": (
        "Trained: parameters that a phase trains, the greatest. Active: those of the base and the last path. Stored: "
        "files of all modules that no other has superseded, with what their methods keep. FLOPs are an estimate: 2 for "
        "each active parameter and token forward, 2 for the activations' gradient, 2 for each trained parameter. Peak: "
        "of the whole process on a CPU, with what it remembers for all its cells; compare it on a GPU."
    ),
}
_OWN_ROW = "Marked: the mode that the method's authors mean."


@dataclass(frozen=True)
class Written:
    """What a report wrote.

    Args:
        page: the HTML page.
        tables: its tables.
        unfinished: how many cells are left out because they are not finished.
    """

    page: Path
    tables: list[Table]
    unfinished: int


def write_report(folder: Path, out: Path | None = None) -> Written:
    """Writes the report of a benchmark.

    Args:
        folder: folder of the results.
        out: where to; None: into the same folder.

    Returns:
        What was written.

    Raises:
        GrowlmError: if there is no finished cell, one is damaged or of another version, or matplotlib is missing.
    """
    require_plots()
    rows, unfinished = read_results(folder)
    summary = Summary(tuple(rows), unfinished)
    out = out or folder
    out.mkdir(parents=True, exist_ok=True)
    sections = _sections(summary)
    tables = summary.tables()
    notes = {"signs": SIGNS} | {wanted.title: wanted.definition for wanted in DESIDERATA.values()}
    notes |= {"modes": "; ".join(MODE_TITLES.values()) + ". They are never mixed in one column."}
    first = rows[0].cells[0]
    title = f"{first.settings['stream']} on {Path(first.base['source']).name}"
    shown = [(table, _NOTES.get(table.name, _OWN_ROW if table.strong else "")) for table in tables]
    text = page(title, _facts(summary, folder), notes, shown, sections)
    for section, (_, figures) in sections.items():
        write_png(figures, out / PLOTS / f"{section.lower().replace(' ', '-')}.png")
    write_json(out / NUMBERS, summary.to_json())
    write_text(out / PAGE, text)
    return Written(out / PAGE, tables, unfinished)


def scores_table(content: Any, where: str) -> Table:
    """Tells what follows from recorded scores alone.

    Args:
        content: a JSON object as ``growlm.manifest.scores`` describes it, such as a stack's ``accuracy.json``.
        where: what it was read from, for messages.

    Returns:
        For each mode that has scores, its figures, and for those that are not known the cells that they lack.

    Raises:
        GrowlmError: if it is of another version, or is not in that format.
    """
    tables = ScoreTables.from_json(content, where)
    rows: list[tuple[str, ...]] = []
    for mode, matrix in tables.modes.items():
        if not tables.skills or all(score is None for row in matrix[1:] for score in row):
            continue
        figures = matrix_figures(tables, mode)
        missing = AccuracyMatrix.from_rows(signed(tables, mode)).missing()
        lacking = "; ".join(f"{figure}: {_cells(cells)}" for figure, cells in missing.items())
        rows.append((mode, *(written(Spread.of([figures[name]]), 4) for name in TITLES), lacking))
    return Table("scores", one_line(where), ("mode", *TITLES.values(), "missing cells (after, skill)"), tuple(rows))


def _cells(cells: Sequence[tuple[int, int]]) -> str:
    shown = ", ".join(f"({after}, {skill})" for after, skill in cells[:3])
    return shown + (f" and {len(cells) - 3} more" if len(cells) > 3 else "")


def _facts(summary: Summary, folder: Path) -> list[str]:
    """Says what was run: from the cells, and the command from the file beside them."""
    cells = [cell for row in summary.rows for cell in row.cells]
    base = cells[0].base
    orders = {str(cell.settings["order"]): " → ".join(cell.skills) for cell in cells if not cell.at_once}
    seeds = sorted({cell.settings["seed"] for cell in cells})
    left = f", {summary.unfinished} more are unfinished and left out" if summary.unfinished else ""
    phase = cells[0].settings["phase"]
    facts = [
        f"{len(cells)} cells: {len(summary.rows)} methods, seeds {', '.join(map(str, seeds))}{left}. Base: "
        f"{base['parameters'] / 1e6:.1f} M parameters, sha256 {base['digest'][:12]}.",
        *(f"Order {name}: {skills}." for name, skills in orders.items()),
        f"Each phase: {', '.join(f'{key} {value}' for key, value in phase.items() if key != 'learning_rate')}; the "
        "methods' own settings are in results.json. Held-out examples; answers, if any, by greedy decoding.",
        f"Made with {', '.join(sorted({f'{k} {v}' for cell in cells for k, v in cell.environment.items()}))}.",
    ]
    request = folder / REQUEST_FILE
    if request.exists():
        content = read_json(request)
        command = content.get("command") if isinstance(content, dict) else None
        facts += [f"Command: {one_line(str(command))}"] if command else []
    return facts


def _sections(summary: Summary) -> dict[str, tuple[str, list[Figure]]]:
    """Draws everything, each method in the mode that its authors mean."""
    scale = 100.0 if summary.percent else 1.0
    retention = {
        row.label: [(float(later), scale * v) for later, v in enumerate(mean_curve(_retentions(row)))]
        for row in summary.rows
    }
    learning = {row.label: _mean_points([learning_curve(cell, row.mode) for cell in row.cells]) for row in summary.rows}
    learning = {
        label: [(tokens / 1e3, scale * score) for tokens, score in points] for label, points in learning.items()
    }
    sections: dict[str, tuple[str, list[Figure]]] = {
        "Heat maps": (
            "Score on each skill (column) after each phase (row), means over seeds. Bold: right after its own phase.",
            _heat_maps(summary),
        ),
        "Retention": (
            "Change of a skill's score so many phases after its own, mean over skills and cells. Grey: the others.",
            _curves(summary, "retention", retention, ("phases since its own", "points" if scale > 1 else "score")),
        ),
        "Learning": (
            "Mean score over all skills against tokens trained on, mean over cells. Grey: the others.",
            _curves(summary, "learning", learning, ("thousand tokens", "mean score")),
        ),
    }
    if summary.rows[0].cells[0].composites:
        sections["Composition"] = (
            "Mean score on the skills that are tested only, beside the bare base and training on all skills at once.",
            [_composition(summary, scale)],
        )
    sections["Importance"] = (
        "Mean importance of the low-rank units to all skills, by layer and projection, in the first cell of a method "
        "that measures it. Logarithmic: from 1e-6, dark, to 1.",
        _importance(summary),
    )
    sections["Cost against AP"] = ("The numbers are those of the tables' first column.", _costs(summary, scale))
    return {title: content for title, content in sections.items() if content[1]}


def _heat_maps(summary: Summary) -> list[Figure]:
    figures: list[Figure] = []
    for number, row in enumerate(summary.rows):
        for order, cells in row.by_order().items():
            matrix = mean_matrix(cells, row.mode)
            title = f"{summary.title(row)}, {row.mode}" + ("" if row.cells[0].at_once else f", order {order}")
            figures.append(heat_map(f"heat{number}-{order}", title, matrix, cells[0].skills, summary.percent))
    return figures


def _curves(summary: Summary, name: str, points: Mapping[str, Curve], axis: tuple[str, str]) -> list[Figure]:
    drawn = [row for row in summary.rows if points[row.label]]
    return [
        curve(
            f"{name}{number}",
            f"{summary.title(row)}, {row.mode}",
            points[row.label],
            [points[other.label] for other in drawn if other is not row],
            axis,
        )
        for number, row in enumerate(drawn)
    ]


def _composition(summary: Summary, scale: float) -> Figure:
    values = [
        (summary.title(row), scale * Spread.of(composite_score(cell, row.mode) for cell in row.cells).mean)
        for row in summary.rows
    ]
    base = Spread.of(composite_score(cell, "base") for row in summary.rows for cell in row.cells).mean
    joint = summary.joint
    best = Spread.of(composite_score(c, joint.mode) for c in joint.cells).mean if joint else float("nan")
    marks = [("bare base", scale * base), ("joint", scale * best)]
    return bars("composition", "Score on composite skills, own mode", values, marks)


def _importance(summary: Summary) -> list[Figure]:
    return [
        importance(f"importance{number}", summary.title(row), ImportanceMap(**row.cells[0].importance))
        for number, row in enumerate(summary.rows)
        if row.cells[0].importance
    ]


def _costs(summary: Summary, scale: float) -> list[Figure]:
    figures: list[Figure] = []
    axes = {"flops": ("TFLOPs of training (estimate)", 1e-12), "stored_bytes": ("MB stored", 1e-6)}
    for key, (title, unit) in axes.items():
        points = [
            (
                str(number),
                unit * Spread.of(costs(cell)[key] for cell in row.cells).mean,
                scale * row.figure(row.mode, "ap").mean,
            )
            for number, row in enumerate(summary.rows, 1)
        ]
        figures.append(scatter(f"cost-{key.replace('_', '-')}", f"AP against {title}", points, (title, "AP")))
    return figures


def _retentions(row: Row) -> list[list[float]]:
    return [retention_curve(cell, row.mode) for cell in row.cells]


def _mean_points(curves: Sequence[Sequence[tuple[int, float]]]) -> list[tuple[float, float]]:
    known = [points for points in curves if points]
    across = mean_curve([[x for x, _ in points] for points in known])
    up = mean_curve([[y for _, y in points] for points in known])
    return list(zip(across, up, strict=True))
