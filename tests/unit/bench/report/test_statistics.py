"""From cells to metrics, worked by hand."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from growlm.bench.report.statistics import (
    Row,
    Spread,
    composite_score,
    costs,
    matrix_metrics,
    mean_matrix,
    read_results,
    signed,
)
from growlm.bench.run.result import CellResult
from growlm.errors import GrowlmError

Make = Callable[..., CellResult]
Write = Callable[..., Path]


def test_spread():
    assert Spread.of([1.0, 3.0, None, math.nan]) == Spread(2.0, pytest.approx(math.sqrt(2)), 2)
    assert Spread.of([4]).to_json() == {"mean": 4.0, "deviation": None, "count": 1}
    assert Spread.of([]).to_json() == {"mean": None, "deviation": None, "count": 0}


def test_copies_of_a_run_count_once_a_seed(make_cell: Make):
    cells = [make_cell(seed=seed) for seed in (0, 0, 1, 1)]
    for cell, order, learned in zip(cells, "1212", (0.0, 0.3, 0.0, 0.3), strict=True):
        cell.settings["order"] = order
        cell.scores.modes["routed"][1][0] = 1 - learned
        cell.scores.modes["routed"][3][0] = cell.settings["seed"] / 2
    row = Row("merged", tuple(cells))
    assert (row.ignores_order, row.independent_cells) == (True, 2)
    # last scores are (0, 0.5, 1) and (0.5, 0.5, 1): means 1/2 and 2/3
    assert row.metric("routed", "ap") == Spread(pytest.approx(7 / 12), pytest.approx(math.sqrt(2) / 12), 2)
    assert row.last_score("chat") == Spread(0.25, pytest.approx(math.sqrt(0.125)), 2)
    assert row.metric("routed", "bwt").count == 4, "what was learned before depends on the order"
    cells[3].scores.modes["routed"][3][0] = 0.25
    other = Row("other", tuple(cells))
    assert (other.ignores_order, other.independent_cells) == (False, 4)
    assert other.metric("routed", "ap").count == 4


def test_matrix_metrics(make_cell: Make):
    metrics = matrix_metrics(make_cell().scores, "routed")
    assert metrics["ap"] == pytest.approx((0.25 + 0.5 + 1) / 3)
    assert metrics["learning_accuracy"] == pytest.approx((1 + 0.75 + 1) / 3)
    assert metrics["bwt"] == pytest.approx((-0.75 - 0.25) / 2)
    assert metrics["forgetting"] == pytest.approx((0.75 + 0.25) / 2)
    assert math.isnan(metrics["fwt"]), "nothing above the diagonal was measured"


def test_losses_enter_with_a_minus(make_cell: Make):
    cell = make_cell(metric="loss")
    assert signed(cell.scores, "all")[1] == [-1.0, None, None]
    assert matrix_metrics(cell.scores, "all")["bwt"] == pytest.approx(0.5), "the losses fell"


def test_learning_all_at_once_has_a_last_row_alone(make_cell: Make):
    metrics = matrix_metrics(make_cell("joint", at_once=True).scores, "all")
    assert metrics["ap"] == pytest.approx(1.75 / 3)
    assert all(math.isnan(metrics[name]) for name in ("bwt", "forgetting", "learning_accuracy", "fwt"))


def test_mean_matrix_is_known_where_every_cell_is(make_cell: Make):
    one, other = make_cell(), make_cell(seed=1)
    other.scores.modes["all"][3][0] = 0.75
    other.scores.modes["all"][2][0] = None
    assert mean_matrix([one, other], "all") == [
        [0.0, 0.25, 0.5],
        [1.0, None, None],
        [None, 0.75, None],
        [0.5, 0.5, 1.0],
    ]


def test_costs(make_cell: Make):
    found = costs(make_cell())
    assert found["tokens"] == 600
    assert found["seconds"] == 6
    assert found["flops"] == 6_000
    assert found["old_share"] == pytest.approx(6 / 60)
    assert found["peak_bytes"] == 2_000_000
    unknown = make_cell()
    unknown.costs[0]["peak_bytes"] = None
    assert math.isnan(costs(unknown)["peak_bytes"])


def test_composites_and_routing(make_cell: Make):
    cell = make_cell()
    assert [composite_score(cell, mode) for mode in ("base", "oracle", "routed", "all")] == [0.25, 0.75, 0.5, 0.75]
    cell.composites = {}
    assert math.isnan(composite_score(cell, "all"))
    assert Row("grow", (cell,)).routing_accuracy().mean == pytest.approx(0.75)


def test_rows_come_by_their_score_and_unfinished_cells_are_counted(make_cell: Make, write_cells: Write):
    better = make_cell("sequential", mode="all")
    better.scores.modes["all"][3] = [1.0, 1.0, 1.0]
    folder = write_cells(make_cell(), make_cell(seed=1), better, make_cell("ewc", finished=False))
    rows, unfinished = read_results(folder)
    assert [(row.label, row.mode, len(row.cells)) for row in rows] == [("sequential", "all", 1), ("grow", "routed", 2)]
    assert unfinished == 1
    assert rows[1].metric("routed", "ap") == Spread(pytest.approx(1.75 / 3), 0.0, 2)


def test_cells_of_different_benchmarks_do_not_mix(make_cell: Make, write_cells: Write):
    other = make_cell("sequential")
    other.base["digest"] = "e" * 64
    with pytest.raises(GrowlmError, match="of another stream or base than"):
        read_results(write_cells(make_cell(), other))


def test_nothing_to_read(make_cell: Make, write_cells: Write, tmp_path: Path):
    with pytest.raises(GrowlmError, match=r"holds no results of growlm bench"):
        read_results(tmp_path)
    with pytest.raises(GrowlmError, match="none of 1 cell in"):
        read_results(write_cells(make_cell(finished=False)))
