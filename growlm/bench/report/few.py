"""Shift with few examples: what is kept of the skill that is strangest to the base, and how much is learned of all."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from growlm.bench.plan.cell import CELL_FILE, CELLS
from growlm.bench.plan.few import few_folders
from growlm.bench.report.desiderata import DESIDERATA, shift
from growlm.bench.report.statistics import Row, Spread, read_results
from growlm.bench.report.table import Table, written
from growlm.bench.run.result import read_cell
from growlm.terminal import counted

Few = Mapping[int, Sequence[Row]]
"""By the number of training examples of every skill, the entries."""
_NOTE = (
    "Every skill has as many training examples; steps, rates and strengths are those of the whole benchmark unless "
    "the command says otherwise. Shift is a share of 1."
)


def read_few(folder: Path, metric: str | None = None) -> Few:
    """Read the cells with few examples of a folder of results; numbers of which none is finished are left out.

    Args:
        folder: the folder.
        metric: score the answers that the cells keep by this metric instead.

    Raises:
        GrowlmError: as ``read_results`` does.
    """
    return {
        count: read_results(place, metric)[0]
        for count, place in few_folders(folder)
        if any(read_cell(file).finished for file in place.glob(f"{CELLS}/*/*/*/{CELL_FILE}"))
    }


def few_tables(
    rows: Sequence[Row], few: Few, title: Callable[[Row], str], score: Callable[[Spread], str]
) -> list[Table]:
    """Return the table of phases with few examples, in a list that is empty if there were none.

    Args:
        rows: the entries of the whole benchmark.
        few: the entries with few examples.
        title: what a row is called.
        score: writes a score.
    """
    if not few:
        return []
    counts = [counted(count, "example") for count in few]
    columns = ["method"]
    columns += [f"{name}, {size}" for size in (*counts, "all examples") for name in ("shift ↑", "AP ↑")]
    lines: list[tuple[str, ...]] = []
    for row in rows:
        cells = [title(row)]
        for found in (*(_of(row, own) for own in few.values()), row):
            spread = found.spread(shift) if found else Spread.of([])
            cells.append(written(spread, DESIDERATA["shift"].decimals, reason=DESIDERATA["shift"].reason))
            cells.append(score(found.metric(found.mode, "ap") if found else Spread.of([])))
        lines.append(tuple(cells))
    caption = "Shift with few examples, in each method's own mode"
    return [Table("few", caption, tuple(columns), tuple(lines), (), _NOTE)]


def few_json(row: Row, few: Few) -> dict[str, Any]:
    """Return an entry's shift and average performance by the number of examples, as JSON holds it."""
    own = {count: found for count, rows in few.items() if (found := _of(row, rows)) is not None}
    return {
        str(count): {"shift": found.spread(shift).to_json(), "ap": found.metric(found.mode, "ap").to_json()}
        for count, found in own.items()
    }


def _of(row: Row, rows: Sequence[Row]) -> Row | None:
    return next((found for found in rows if found.label == row.label), None)
