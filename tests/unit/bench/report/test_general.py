"""General ability in a report: differences from the bare base in the own mode, by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from growlm.bench.report.cell_metric import known_metrics
from growlm.bench.report.general import GENERAL
from growlm.bench.report.markdown import metrics_table
from growlm.bench.report.statistics import Row
from growlm.bench.report.tables import Summary
from growlm.bench.run.result import CellResult, read_cell

Make = Callable[..., CellResult]
MEASURED = {
    "divergence": {"base": 0.0, "oracle": 0.0, "routed": 0.125, "all": 0.5},
    "consistency": {"base": 0.75, "oracle": 0.75, "routed": 0.75, "all": 0.5},
    "distinct_3": {"base": 0.875, "oracle": 0.875, "routed": 0.875, "all": 0.625},
    "ended": {"base": 0.5, "oracle": 0.5, "routed": 0.5, "all": 1.0},
}


def computed(cell: CellResult) -> dict[str, float]:
    return {metric.key: metric.compute(cell) for metric in known_metrics(GENERAL, [Row("x", (cell,))])}


def test_changes_are_of_the_own_mode(make_cell: Make):
    grown, whole = make_cell(general=MEASURED), make_cell("sequential", mode="all", general=MEASURED)
    assert computed(grown) == {"divergence": 0.125, "consistency": 0.0, "distinct_3": 0.0, "ended": 0.0}
    assert computed(whole) == {"divergence": 0.5, "consistency": -0.25, "distinct_3": -0.25, "ended": 0.5}


def test_what_was_not_measured_is_left_out(make_cell: Make):
    assert computed(make_cell()) == {}
    assert set(computed(make_cell(general={"ended": MEASURED["ended"]}))) == {"ended"}


def test_tables_have_it_where_some_entry_does(make_cell: Make):
    rows = (Row("sequential", (make_cell("sequential", mode="all", general=MEASURED),)), Row("grow", (make_cell(),)))
    tables = {table.name: table for table in Summary(rows, 0).tables()}
    titles = [metric.title for metric in GENERAL.metrics]
    assert tables["general"].columns == ("method", *titles)
    assert tables["general"].rows[0] == ("1 sequential", "0.500", "-25.0", "-25.0", "50")
    assert tables["general"].rows[1][2] == "n/a (not measured)"
    place = tables["desiderata"].columns.index("KL from base, nats ↓")
    assert [row[place] for row in tables["desiderata"].rows] == [
        "0.500",
        "n/a (needs a text no skill trains: --phase stories)",
    ]
    numbers: dict[str, Any] = Summary(rows, 0).to_json()
    page = metrics_table(numbers)
    assert [row[page.columns.index("KL from base, nats ↓")] for row in page.rows] == ["0.500", "n/a"]
    for entry in numbers["entries"]:
        del entry["general"]
    assert "KL from base, nats ↓" not in metrics_table(numbers).columns, "results of version 0.2 have none"


@pytest.mark.parametrize("general", [{}, MEASURED])
def test_it_is_kept_in_the_cells_file(make_cell: Make, tmp_path: Path, general: dict[str, dict[str, float]]):
    path = tmp_path / "cell.json"
    make_cell(general=general).write(path)
    assert read_cell(path).general == general
