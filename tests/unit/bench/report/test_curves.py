"""Scores against what training took, at the ends of phases and in the middle of them, worked by hand."""

from collections.abc import Callable

import pytest

from growlm.bench.report.curves import (
    completed_rows,
    learning_curve,
    mean_curve,
    middle_points,
    retention_curve,
    score_at,
)
from growlm.bench.report.efficiency import common_budget, efficiency_group, score_at_budget
from growlm.bench.report.plasticity import lowest_score
from growlm.bench.report.statistics import Row
from growlm.bench.report.tables import Summary
from growlm.bench.run.result import CellResult

Make = Callable[..., CellResult]


def test_learning_curve(make_cell: Make):
    # a skill counts with the bare base's score until its turn comes
    assert learning_curve(make_cell(), "oracle") == [
        (0, pytest.approx(0.75 / 3)),
        (100, pytest.approx((1 + 0.25 + 0.5) / 3)),
        (300, pytest.approx((0.5 + 0.75 + 0.5) / 3)),
        (600, pytest.approx((0.25 + 0.5 + 1) / 3)),
    ]
    joint = make_cell("joint", at_once=True)
    assert learning_curve(joint, "all") == [(0, pytest.approx(0.25)), (600, pytest.approx(1.75 / 3))]


def test_a_mode_that_was_not_measured_has_no_curves(make_cell: Make):
    cell = make_cell()
    cell.scores.modes["routed"] = [[None] * 3 for _ in range(4)]
    assert learning_curve(cell, "routed") == retention_curve(cell, "routed") == []


def test_retention_curve(make_cell: Make):
    assert retention_curve(make_cell(), "all") == [0.0, pytest.approx((-0.5 - 0.25) / 2), pytest.approx(-0.75)]
    assert retention_curve(make_cell("joint", at_once=True), "all") == []


def test_a_mode_without_the_whole_lower_triangle_has_no_curves(make_cell: Make):
    cell = make_cell()
    cell.scores.modes["all"][2][0] = None
    assert learning_curve(cell, "all") == retention_curve(cell, "all") == []
    assert retention_curve(cell, "oracle") != []


def test_mean_curve():
    assert mean_curve([[0.0, -1.0], [], [0.0, -2.0]]) == [0.0, -1.5]
    assert mean_curve([[]]) == []


@pytest.fixture
def measured(make_cell: Make) -> CellResult:
    """A method with all modules active whose third phase was looked at after a third of its 300 tokens."""
    cell = make_cell("sequential", mode="all")
    middle = {"step": 2, "tokens": 100, "flops": 1_000.0, "seconds": 0.5, "scores": {"chat": 0.125, "arithmetic": 0.5}}
    end = {"step": 5, "tokens": 300, "flops": 3_000.0, "seconds": 2.0, "scores": {"chat": 0.5, "arithmetic": 0.75}}
    cell.costs[2]["points"] = [middle, end]
    cell.settings["curve"] = 1
    return cell


def test_a_point_is_shifted_by_what_all_examples_say_more_at_the_end(measured: CellResult):
    # after the phase all examples of chat have 0.25, some of them 0.5; those of arithmetic 1 and 0.75
    after = [0.25, 0.5, 1.0]
    expected = [(100.0, {0: 0.125 - 0.5 + 0.25, 2: 0.5 - 0.75 + 1.0})]
    assert middle_points(measured, "all", measured.costs[2], after) == expected
    assert middle_points(measured, "all", measured.costs[2], after, "seconds")[0][0] == 0.5
    assert middle_points(measured, "oracle", measured.costs[2], after) == [], "the paths of that mode are others"
    assert middle_points(measured, "all", measured.costs[0], after) == [], "nothing was measured there"


def test_a_loss_is_shifted_with_its_sign(measured: CellResult):
    measured.scores.metrics["chat"] = "loss"
    (point,) = middle_points(measured, "all", measured.costs[2], [-0.25, 0.5, 1.0])
    assert point[1][0] == -(0.125 - 0.5) - 0.25


def test_the_curve_goes_through_the_middle(measured: CellResult):
    curve = learning_curve(measured, "all")
    # chat and arithmetic were measured, memory counts as at the beginning of the phase
    assert curve[3] == (400.0, pytest.approx((-0.125 + 0.75 + 0.75) / 3))
    assert [spent for spent, _ in curve] == [0, 100, 300, 400, 600]
    assert len(learning_curve(measured, "oracle")) == 4


def test_what_matrix_last_leaves_out_is_read_from_the_points(measured: CellResult):
    measured.scores.modes["all"][2][0] = measured.scores.modes["routed"][2][0] = None
    assert completed_rows(measured, "all")[2][0] is None, "no point of that phase is known"
    end = {"step": 5, "tokens": 200, "flops": 2_000.0, "seconds": 2.0, "scores": {"chat": 0.875, "memory": 0.5}}
    measured.costs[1]["points"] = [end]
    # some examples of chat fell from 0.875 to 0.5, all of them end at 0.25
    assert completed_rows(measured, "all")[2][0] == 0.25 + 0.875 - 0.5
    assert learning_curve(measured, "all")[2] == (300.0, pytest.approx((0.625 + 0.75 + 0.5) / 3))
    assert completed_rows(measured, "routed")[2][0] is None, "that is not the mode of the method's authors"
    measured.mode = "routed"
    measured.costs[1]["points"] = [{**end, "scores": {"memory": 0.5}}]
    assert completed_rows(measured, "routed")[2][0] == (1.0 + 0.25) / 2, "paths of earlier skills are as they were"
    del measured.settings["curve"]
    assert completed_rows(measured, "routed")[2][0] is None


def test_scores_at_a_budget_lie_on_straight_lines(measured: CellResult):
    curve = [(0.0, 0.25), (100.0, 0.5), (300.0, 1.0)]
    assert [score_at(curve, budget) for budget in (0, 50, 100, 200, 300, 400)] == [0.25, 0.375, 0.5, 0.75, 1.0, 1.0]
    assert score_at([], 10) is None
    assert score_at([(0.0, 0.25), (0.0, 0.75)], 10) == 0.75, "what trains nothing has its last score everywhere"
    assert score_at_budget(measured, "flops", 4_000.0) == pytest.approx((-0.125 + 0.75 + 0.75) / 3)


def test_budgets_are_what_the_cheapest_cell_took(make_cell: Make, measured: CellResult):
    untrained = make_cell("shots", mode="all")
    for cost in untrained.costs:
        cost |= {"tokens": 0, "flops": 0, "seconds": 0.0}
    dear = make_cell("dear")
    for cost in dear.costs:
        cost["tokens"] *= 2
        cost["flops"] *= 3
    rows = [Row("sequential", (measured,)), Row("dear", (dear,)), Row("shots", (untrained,))]
    assert [common_budget(rows, cost) for cost in ("tokens", "flops", "seconds")] == [600, 6_000, 6.0]
    tokens, flops, seconds, *_ = efficiency_group(rows, 100.0, 1).metrics
    assert (tokens.title, flops.title) == ("score at 0.6 k tokens ↑", "score at 0.000 TFLOPs ↑")
    last = 1.75 / 3
    assert [metric.compute(measured) for metric in (tokens, flops, seconds)] == [pytest.approx(last)] * 3
    # twice the tokens and three times the FLOPs: the budget ends at the second phase's end, and in its middle
    assert tokens.compute(dear) == pytest.approx((0.5 + 0.75 + 0.5) / 3)
    assert flops.compute(dear) == pytest.approx(((1 + 0.25 + 0.5) / 3 + (0.5 + 0.75 + 0.5) / 3) / 2)
    assert tokens.compute(untrained) == pytest.approx(last)


def test_the_table_of_efficiency(make_cell: Make):
    coarse = make_cell("coarse")
    coarse.scores.modes["routed"][2][0] = None
    rows = (Row("grow", (make_cell(),)), Row("coarse", (coarse,)))
    table = next(table for table in Summary(rows, 0).tables() if table.name == "efficiency")
    assert table.rows[0] == ("1 grow", "58.3", "58.3", "58.3", "0.00", "2")
    assert table.rows[1][1] == "n/a (needs --matrix lower or --curve)"


def test_falls_in_the_middle_of_a_phase_are_seen(make_cell: Make, measured: CellResult):
    # chat is lowest in the middle of the third phase, memory at its end
    assert lowest_score(make_cell("sequential", mode="all")) == pytest.approx((0.25 + 0.5) / 2)
    assert lowest_score(measured) == pytest.approx((-0.125 + 0.5) / 2)
