"""Shift with few examples, by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest

from growlm.bench.plan.cell import CELL_FILE, CELLS
from growlm.bench.plan.few import few_folder
from growlm.bench.report.few import few_json, few_tables, read_few
from growlm.bench.report.report import write_report
from growlm.bench.report.statistics import Row, Spread
from growlm.bench.run.result import CellResult

Make = Callable[..., CellResult]
Write = Callable[..., Path]


@pytest.fixture
def few(make_cell: Make) -> dict[int, tuple[Row, ...]]:
    """With 50 examples, memory (the strangest skill) ends at 0.375 in one order; in the other order it is not last."""
    one, other = make_cell(), make_cell()
    other.settings["order"] = "2"
    one.scores.modes["routed"][-1][1] = 0.375
    other.losses.modes["routed"][0][2] = 6.0
    return {50: (Row("grow", (one, other)),)}


def test_the_mean_is_over_orders_in_which_something_comes_after(make_cell: Make, few: dict[int, tuple[Row, ...]]):
    rows = (Row("grow", (make_cell(),)), Row("other", (make_cell("other"),)))
    (table,) = few_tables(rows, few, lambda row: row.label, lambda spread: f"{spread.mean:.3f}")
    assert table.columns == (
        "method", "shift ↑, 50 examples", "AP ↑, 50 examples", "shift ↑, all examples", "AP ↑, all examples",
    )  # fmt: skip
    ap = ((0.25 + 0.375 + 1) / 3 + 1.75 / 3) / 2
    assert table.rows[0] == ("grow", "0.12", f"{ap:.3f}", "0.25", "0.583")
    assert table.rows[1][1:3] == ("n/a (the strangest skill ends every order)", "nan")
    assert few_json(rows[0], few)["50"]["shift"] == Spread(0.125, float("nan"), 1).to_json()
    assert few_json(rows[1], few) == {}
    assert few_tables(rows, {}, lambda row: row.label, str) == []


@pytest.mark.usefixtures("without_plots")
def test_the_report_reads_them_beside_the_results(make_cell: Make, write_cells: Write):
    folder = write_cells(make_cell())
    assert "few" not in [table.name for table in write_report(folder).tables]
    scarce = make_cell()
    for count, finished in ((50, True), (200, False)):
        scarce.finished = finished
        scarce.write(few_folder(folder, count) / CELLS / "grow" / "order-1" / "seed-0" / CELL_FILE)
    assert list(read_few(folder)) == [50], "of the others none is finished"
    table = next(table for table in write_report(folder).tables if table.name == "few")
    assert table.rows == (("1 grow", "0.25", "58.3", "0.25", "58.3"),)
