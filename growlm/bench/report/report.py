"""From a folder of cells to its report: a page, tables and plots as files, and all numbers as JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from growlm.bench.plan.tuning import CHOICES_FILE, protocol_sentence
from growlm.bench.report.charts import Curve, bars, curve, heat_map, importance, scatter
from growlm.bench.report.curves import learning_curve, mean_curve, retention_curve
from growlm.bench.report.definitions import TITLES, definitions
from growlm.bench.report.few import read_few
from growlm.bench.report.findings import findings
from growlm.bench.report.html import Section, page
from growlm.bench.report.markdown import NUMBERS, read_command
from growlm.bench.report.phases import phase_sentences
from growlm.bench.report.plots import Plot, require_plots, write_png
from growlm.bench.report.reference_lines import references
from growlm.bench.report.statistics import (
    Row,
    Spread,
    composite_score,
    matrix_metrics,
    mean_matrix,
    read_results,
    signed,
)
from growlm.bench.report.table import Table, to_csv, to_latex, without_unknown, written
from growlm.bench.report.tables import Summary, environment
from growlm.errors import one_line
from growlm.files import write_json, write_text
from growlm.manifest.scores import ScoreTables
from growlm.metrics.accuracy_matrix import AccuracyMatrix
from growlm.show.importance import ImportanceMap
from growlm.terminal import counted, plural

PAGE, PLOTS, TABLES = "report.html", "plots", "tables"
_NUMBERS = f"Cells too small for a number have none; all numbers are in {NUMBERS}."


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


def write_report(folder: Path, out: Path | None = None, metric: str | None = None) -> Written:
    """Write the report of a benchmark.

    Args:
        folder: folder of the results.
        out: where to; None: into the same folder.
        metric: score the answers that the cells keep by this metric instead; nothing is run again.

    Returns:
        What was written.

    Raises:
        GrowlmError: if there is no finished cell, one is damaged or of another version, a cell keeps no answers to
            score again, or matplotlib is missing.
    """
    require_plots()
    rows, unfinished = read_results(folder, metric)
    summary = Summary(tuple(rows), unfinished, read_few(folder, metric))
    out = out or folder
    out.mkdir(parents=True, exist_ok=True)
    sections, whole = _sections(summary), summary.tables()
    notes, tables = definitions(whole, summary.groups), [without_unknown(table) for table in whole]
    first = rows[0].cells[0]
    title = f"{first.settings['stream']} on {Path(first.base['source']).name}" + (f", {metric}" if metric else "")
    text = page(title, findings(summary), _facts(summary, folder), notes, tables, sections)
    for section in sections:
        write_png(section.plots, out / PLOTS / f"{section.anchor}.png")
    (out / TABLES).mkdir(exist_ok=True)
    for table in tables:
        write_text(out / TABLES / f"{table.name}.csv", to_csv(table))
        write_text(out / TABLES / f"{table.name}.tex", to_latex(table))
    write_json(out / NUMBERS, summary.to_json())
    write_text(out / PAGE, text)
    return Written(out / PAGE, tables, unfinished)


def scores_table(content: Any, where: str) -> Table:
    """Compute the metrics of recorded scores.

    Args:
        content: a JSON object as ``growlm.manifest.scores`` describes it, such as a stack's ``accuracy.json``.
        where: what it was read from, for messages.

    Returns:
        For each mode that has scores, its metrics, and for those that are undefined the cells that they lack.

    Raises:
        GrowlmError: if it is of another version, or is not in that format.
    """
    tables = ScoreTables.from_json(content, where)
    rows: list[tuple[str, ...]] = []
    for mode, matrix in tables.modes.items():
        if not tables.skills or all(score is None for row in matrix[1:] for score in row):
            continue
        metrics = matrix_metrics(tables, mode)
        missing = AccuracyMatrix.from_rows(signed(tables, mode)).missing()
        lacking = "; ".join(f"{metric}: {_cells(cells)}" for metric, cells in missing.items())
        rows.append((mode, *(written(Spread.of([metrics[name]]), 4) for name in TITLES), lacking))
    return Table("scores", one_line(where), ("mode", *TITLES.values(), "missing cells (after, skill)"), tuple(rows))


def _cells(cells: Sequence[tuple[int, int]]) -> str:
    shown = ", ".join(f"({after}, {skill})" for after, skill in cells[:3])
    return shown + (f" and {len(cells) - 3} more" if len(cells) > 3 else "")


def _facts(summary: Summary, folder: Path) -> list[str]:
    """Say what was run: from the cells, and the command from the file beside them."""
    cells = [cell for row in summary.rows for cell in row.cells]
    base = cells[0].base
    orders = {str(cell.settings["order"]): " → ".join(cell.skills) for cell in cells if not cell.at_once}
    seeds = sorted({cell.settings["seed"] for cell in cells})
    left = (
        f", {summary.unfinished} more {plural(summary.unfinished, 'is', 'are')} unfinished and left out"
        if summary.unfinished
        else ""
    )
    facts = [
        f"{counted(len(cells), 'cell')}: {counted(len(summary.rows), 'method')}, "
        f"{plural(len(seeds), 'seed')} {', '.join(map(str, seeds))}{left}. Base: {base['parameters'] / 1e6:.1f} M "
        f"parameters, sha256 {base['digest'][:12]}.",
        *(f"Order {name}: {skills}." for name, skills in orders.items()),
        *phase_sentences({row.label: row.cells[0].settings["phase"] for row in summary.rows}),
        "The methods' own settings are in results.json. Held-out examples; answers, if any, by greedy decoding.",
        f"Made with {', '.join(environment(summary.rows))}.",
    ]
    choices, command = folder / CHOICES_FILE, read_command(folder)
    if choices.exists():
        facts.append(protocol_sentence(choices))
    return [*facts, f"Command: {command}"] if command else facts


def _sections(summary: Summary) -> list[Section]:
    """Draw everything, each method in the mode that its authors intend; sections without a plot are left out."""
    scale = summary.scale
    retention = {
        row.label: [(float(later), scale * v) for later, v in enumerate(mean_curve(_retentions(row)))]
        for row in summary.rows
    }
    learning = {row.label: _mean_points([learning_curve(cell, row.mode) for cell in row.cells]) for row in summary.rows}
    learning = {
        label: [(tokens / 1e3, scale * score) for tokens, score in points] for label, points in learning.items()
    }
    sections = [
        Section(
            "Heat maps",
            "Score on each skill (column) after each phase (row), means over seeds. Bold: right after its own phase. "
            f"{_NUMBERS}",
            _heat_maps(summary),
            NUMBERS,
        ),
        Section(
            "Retention",
            "Change of a skill's score as phases pass after its own, mean over skills and cells. Grey: the others.",
            _curves(summary, "retention", retention, ("phases since its own", "points" if scale > 1 else "score")),
        ),
        Section(
            "Learning",
            "Mean score over all skills against tokens trained on, mean over cells. Grey: the others; orange: what "
            f"scores are read against.{_untrained(summary, learning)}",
            _learning(summary, learning),
        ),
        Section(
            "Composition",
            "Mean score on the skills that are tested only; orange: the bare base and training on all skills at once.",
            _composition(summary, scale),
        ),
        Section(
            "Importance",
            "Mean importance of the low-rank units to all skills, by layer and projection, in the first cell of a "
            f"method that measures it. Logarithmic: from 1e-6, dark, to 1. {_NUMBERS}",
            _importance(summary),
            NUMBERS,
        ),
        Section("Cost against AP", "The numbers are places by AP, as in the tables.", _costs(summary, scale)),
    ]
    return [section for section in sections if section.plots]


def _heat_maps(summary: Summary) -> list[Plot]:
    plots: list[Plot] = []
    for number, row in enumerate(summary.rows):
        for place, (order, cells) in enumerate(row.by_order().items()):
            matrix = mean_matrix(cells, row.mode)
            if all(score is None for scores in matrix for score in scores):
                continue
            at_once = cells[0].at_once
            title = f"{summary.title(row)}, {row.mode}" + ("" if at_once else f", order {order}")
            # orders are named by a stream: a number keeps the name out of identifiers
            plots.append(heat_map(f"heat{number}-{place}", title, matrix, cells[0].skills, summary.percent, at_once))
    return plots


def _lines(summary: Summary) -> list[tuple[str, float]]:
    """List what mean scores are read against: the references, joint training and a module or model for each skill."""
    known = references(summary.rows)
    skills = summary.rows[0].cells[0].skills
    lines = [(reference.key, summary.scale * reference.mean(skills)) for reference in known]
    upper = [row for row in summary.rows if row is summary.joint or row.method == "per_skill"]
    return lines + [(row.label, summary.scale * row.metric(row.mode, "ap").mean) for row in upper]


def _curves(
    summary: Summary,
    name: str,
    points: Mapping[str, Curve],
    axis: tuple[str, str],
    lines: Sequence[tuple[str, float]] = (),
) -> list[Plot]:
    drawn = [row for row in summary.rows if points[row.label]]
    return [
        curve(
            f"{name}{number}",
            f"{summary.title(row)}, {row.mode}",
            points[row.label],
            [points[other.label] for other in drawn if other is not row],
            axis,
            lines,
        )
        for number, row in enumerate(drawn)
    ]


def _learning(summary: Summary, points: Mapping[str, Curve]) -> list[Plot]:
    """Draw the curves of what trains; a single one has nothing to be compared with and is left out."""
    trained = {label: curve if _is_line(curve) else () for label, curve in points.items()}
    plots = _curves(summary, "learning", trained, ("thousand tokens", "mean score"), _lines(summary))
    return plots if len(plots) > 1 else []


def _untrained(summary: Summary, points: Mapping[str, Curve]) -> str:
    """Name what has a score and no curve, as it trains nothing."""
    left = [summary.title(row) for row in summary.rows if points[row.label] and not _is_line(points[row.label])]
    return f" Left out, as it trains nothing: {', '.join(left)}." if left else ""


def _is_line(points: Curve) -> bool:
    return len({tokens for tokens, _ in points}) > 1


def _composition(summary: Summary, scale: float) -> list[Plot]:
    values = [
        (summary.title(row), scale * row.composites(row.mode).mean) for row in summary.rows if row is not summary.joint
    ]
    values = [(label, value) for label, value in values if not math.isnan(value)]
    if not values:
        return []
    base = Spread.of(composite_score(cell, "base") for row in summary.rows for cell in row.cells).mean
    joint = summary.joint
    best = joint.composites(joint.mode).mean if joint else math.nan
    references = [("bare base", scale * base), (summary.title(joint) if joint else "joint", scale * best)]
    return [bars("composition", "Score on composite skills, own mode", values, references)]


def _importance(summary: Summary) -> list[Plot]:
    return [
        importance(f"importance{number}", summary.title(row), ImportanceMap(**row.cells[0].importance))
        for number, row in enumerate(summary.rows)
        if row.cells[0].importance
    ]


def _costs(summary: Summary, scale: float) -> list[Plot]:
    plots: list[Plot] = []
    axes = {"flops": ("TFLOPs of training (estimate)", 1e-12), "stored_bytes": ("MB stored", 1e-6)}
    for key, (title, unit) in axes.items():
        points = [
            (
                str(number),
                unit * row.cost(key).mean,
                scale * row.metric(row.mode, "ap").mean,
            )
            for number, row in enumerate(summary.rows, 1)
        ]
        if any(x > 0 and not math.isnan(y) for _, x, y in points):
            plots.append(
                scatter(f"cost-{key.replace('_', '-')}", f"AP against {title}", points, (title, "AP"), _lines(summary))
            )
    return plots


def _retentions(row: Row) -> list[list[float]]:
    return [retention_curve(cell, row.mode) for cell in row.cells]


def _mean_points(curves: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """Average curves point by point; those with fewer points than the others are left out."""
    known = [points for points in curves if len(points) == max(map(len, curves)) and points]
    across = mean_curve([[x for x, _ in points] for points in known])
    up = mean_curve([[y for _, y in points] for points in known])
    return list(zip(across, up, strict=True))
