"""What a method keeps of the past and sees again, added up by hand."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from growlm.bench.report.exposure import EXPOSURE
from growlm.bench.report.statistics import Row
from growlm.bench.report.tables import Summary
from growlm.bench.run.result import CellResult, read_cell
from growlm.errors import GrowlmError

Make = Callable[..., CellResult]


@pytest.fixture
def replay(make_cell: Make) -> CellResult:
    cell = make_cell("replay", mode="all")
    for number, cost in enumerate(cell.costs, 1):
        cost |= {"generated_rows": 3, "kept_rows": 10 * number, "kept_bytes": 1_500 * number}
    return cell


def computed(cell: CellResult) -> dict[str, float]:
    return {metric.key: metric.compute(cell) for metric in EXPOSURE.metrics}


def test_by_hand(replay: CellResult):
    assert computed(replay) == {"kept_rows": 30, "reread_rows": 6, "generated_rows": 9, "kept_bytes": 4_500}


def test_what_version_0_2_measured_has_no_kept_rows(make_cell: Make):
    found = computed(make_cell())
    assert found["reread_rows"] == 6
    assert all(math.isnan(found[key]) for key in ("kept_rows", "generated_rows", "kept_bytes"))


def test_the_table_says_why_joint_training_has_none(make_cell: Make, replay: CellResult):
    rows = (Row("replay", (replay,)), Row("joint", (make_cell("joint", at_once=True, mode="all"),)))
    table = next(table for table in Summary(rows, 0).tables() if table.name == "exposure")
    assert table.columns == ("method", "kept rows ↓", "re-read rows ↓", "generated rows", "kept, kB ↓")
    assert table.rows[0] == ("1 replay", "30", "6", "9", "4.5")
    assert set(table.rows[1][1:]) == {"n/a (all skills are there at once)"}


def test_the_costs_are_checked_when_they_are_read(replay: CellResult, tmp_path: Path):
    path = tmp_path / "cell.json"
    replay.write(path)
    assert read_cell(path).costs == replay.costs
    replay.costs[0]["kept_rows"] = -1
    replay.write(path)
    with pytest.raises(GrowlmError, match="cost 'kept_rows' is -1"):
        read_cell(path)
