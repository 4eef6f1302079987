"""One number for each thing that is wanted of continual learning, worked by hand."""

import math
from collections.abc import Callable

import pytest

from growlm.bench.report.desiderata import (
    DESIDERATA,
    blimp_change,
    composition,
    desiderata,
    efficiency,
    exposure,
    retention,
    shift,
)
from growlm.bench.report.efficiency import common_budget
from growlm.bench.report.statistics import Row
from growlm.bench.run.result import CellResult

Make = Callable[..., CellResult]


def test_retention_is_what_the_own_mode_lost(make_cell: Make):
    assert [retention(make_cell(mode=mode)) for mode in ("oracle", "routed", "all")] == [0.0, 0.125, 0.5]
    assert math.isnan(retention(make_cell(stories={})))
    assert math.isnan(retention(make_cell(stories={"routed": [1.0, None]})))
    trained = make_cell()
    del trained.settings["phase"]["stories"]
    assert math.isnan(retention(trained)), "measured on stories of the kind that a skill trains"


def test_exposure(make_cell: Make):
    assert exposure(make_cell()) == pytest.approx(1 - 6 / 60)
    assert exposure(make_cell("joint", at_once=True)) == pytest.approx(1 / 3)


def test_shift_is_the_gain_on_the_strangest_skill(make_cell: Make):
    # memory has the greatest loss on the bare base: from 0.25 to 0.5
    assert shift(make_cell()) == pytest.approx(0.25)
    unknown = make_cell()
    unknown.losses.modes["routed"][0][2] = None
    assert math.isnan(shift(unknown))
    last = make_cell()
    last.losses.modes["routed"][0][2] = 6.0
    assert math.isnan(shift(last)), "nothing was learned after it"
    assert shift(make_cell("joint", at_once=True, mode="all")) == pytest.approx(0.25)


def test_efficiency_is_the_mean_height_of_the_learning_curve_at_equal_flops(make_cell: Make):
    # the curve is at 0.25 in the beginning, at 1.75 / 3 after 1,000 FLOPs, and stays there to 6,000
    base, learned = 0.75 / 3, 1.75 / 3
    area = 1_000 * (base + learned) / 2 + 5_000 * learned
    assert efficiency(make_cell(), 6_000) == pytest.approx(area / 6_000)
    assert efficiency(make_cell(), 500) == pytest.approx((base + (base + learned) / 2) / 2)
    assert efficiency(make_cell("joint", at_once=True), 6_000) == pytest.approx((base + learned) / 2)
    assert math.isnan(efficiency(make_cell(), 6_001)), "so much was not spent"
    untrained = make_cell("shots")
    for cost in untrained.costs:
        cost["flops"] = 0
    assert efficiency(untrained, 6_000) == pytest.approx(learned)


def test_spending_more_for_the_same_is_less_efficient(make_cell: Make):
    dear = make_cell("dear")
    for cost in dear.costs:
        cost["flops"] *= 3
    rows = [Row("cheap", (make_cell(),)), Row("dear", (dear,))]
    assert common_budget(rows) == 6_000
    cheap, expensive = (desiderata(row, None, common_budget(rows))["efficiency"].mean for row in rows)
    assert expensive < cheap


def test_composition_is_a_share_of_what_joint_training_of_the_seed_gains(make_cell: Make):
    joint = [make_cell("joint", seed=seed, at_once=True, mode="all") for seed in (0, 1)]
    joint[1].composites["chat_memory"]["all"] = 0.5
    assert composition(make_cell(), joint) == pytest.approx((0.5 - 0.25) / (0.75 - 0.25))
    assert composition(make_cell(seed=1), joint) == pytest.approx((0.5 - 0.25) / (0.5 - 0.25))
    assert math.isnan(composition(make_cell(seed=2), joint)), "there is no joint training of that seed"
    joint[0].composites["chat_memory"]["all"] = 0.25
    assert math.isnan(composition(make_cell(), joint)), "joint training gained nothing"


def test_composites_that_joint_training_does_not_solve_say_nothing(make_cell: Make):
    cell, joint = make_cell(), make_cell("joint", at_once=True, mode="all")
    for each in (cell, joint):
        each.composites["hard"] = {"base": 0.0, "oracle": 0.25, "routed": 0.25, "all": 0.25}
    assert composition(cell, [joint]) == pytest.approx((0.5 - 0.25) / (0.75 - 0.25))
    joint.composites["chat_memory"]["all"] = 0.375
    assert math.isnan(composition(cell, [joint]))


def test_blimp(make_cell: Make):
    assert blimp_change(make_cell(blimp={"base": 0.625, "all": 0.5})) == -0.125
    assert math.isnan(blimp_change(make_cell()))


def test_each_has_its_definition(make_cell: Make):
    row = Row("grow", (make_cell(), make_cell(seed=1)))
    found = desiderata(row, None, 6_000)
    assert set(found) == set(DESIDERATA)
    assert found["shift"].count == 2
    assert math.isnan(found["composition"].mean), "without joint training it is not known"
