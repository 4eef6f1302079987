"""How well late skills are learned and how low scores fall, worked out by hand from the cells of ``conftest``."""

import math
from collections.abc import Callable

import pytest

from growlm.bench.report.plasticity import (
    alone_row,
    fresh_loss,
    intransigence,
    learning_costs,
    lowest_score,
    plasticity_loss,
    recovery,
)
from growlm.bench.report.statistics import Row
from growlm.bench.report.tables import Summary
from growlm.bench.run.result import CellResult

Make = Callable[..., CellResult]


def alone(make_cell: Make, seed: int = 0) -> CellResult:
    """Learn 1, 1 and 1 where the cells of ``conftest`` learn 1, 0.75 and 1; then half of the last."""
    cell = make_cell("per_skill", seed, mode="oracle")
    cell.scores.modes["oracle"][2][1] = 1.0
    cell.scores.modes["oracle"][3][2] = 0.5
    return cell


def test_costs_of_learning(make_cell: Make):
    cell, other = make_cell(), alone(make_cell)
    assert learning_costs(cell, [other]) == [0.0, 0.25, -0.5]
    assert intransigence(cell, [other]) == pytest.approx(-0.25 / 3)
    assert plasticity_loss(cell, [other]) == -0.5
    assert learning_costs(cell, [alone(make_cell, seed=1)]) == [], "of another seed"
    assert math.isnan(intransigence(make_cell("joint", at_once=True), [other]))
    unknown = make_cell()
    unknown.scores.modes["routed"][1][0] = None
    assert learning_costs(unknown, [other]) == []


def test_the_lowest_score(make_cell: Make):
    # chat 0.5 and 0.25 after its own phase, memory 0.5
    assert lowest_score(make_cell()) == pytest.approx((0.25 + 0.5) / 2)
    unknown = make_cell()
    unknown.scores.modes["routed"][2][0] = None
    assert math.isnan(lowest_score(unknown)), "as with --matrix last"
    assert math.isnan(lowest_score(make_cell("joint", at_once=True, mode="all")))


def test_trials(make_cell: Make):
    assert math.isnan(fresh_loss(make_cell()))
    assert math.isnan(recovery(make_cell()))
    trials = [{"after": after, "value": 0.5, "loss": loss} for after, loss in ((0, 2.0), (1, 1.0), (3, 2.25))]
    # chat was 1 after its own phase and is 0.25 at the end: 0.375 of 0.75 came back
    cell = make_cell(fresh=trials, recovery={"value": 0.625, "loss": 1.0})
    assert fresh_loss(cell) == 0.25
    assert recovery(cell) == 0.5
    cell.scores.modes["routed"][3][0] = 0.995
    assert math.isnan(recovery(cell)), "nothing to recover"
    errors = make_cell(metric="loss", recovery={"value": 0.5, "loss": 0.5})
    errors.scores.modes["routed"][1][0], errors.scores.modes["routed"][3][0] = 0.25, 1.25
    assert recovery(errors) == 0.75, "of a loss that rose by 1"


def test_the_table(make_cell: Make):
    rows = (Row("grow", (make_cell(),)), Row("per-skill", (alone(make_cell),)))
    assert alone_row(rows) is rows[1]
    table = next(table for table in Summary(rows, 0).tables() if table.name == "plasticity")
    assert table.rows[0] == ("1 grow", "-8.3", "-50.0", "37.5", "n/a (needs --fresh)", "n/a (needs --fresh)")
    assert table.rows[1][1:3] == ("0.0", "0.0")
    (row,) = next(table for table in Summary(rows[:1], 0).tables() if table.name == "plasticity").rows
    assert row[1:3] == ("n/a (needs a per_skill entry)",) * 2
