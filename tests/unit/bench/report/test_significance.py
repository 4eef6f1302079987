"""Paired tests and intervals, against values worked by hand."""

import math
from collections.abc import Callable
from itertools import product

import pytest

from growlm.bench.report.findings import findings
from growlm.bench.report.significance import compare, interval, question_scores, sign_flip_test
from growlm.bench.report.statistics import Row
from growlm.bench.report.tables import Summary
from growlm.bench.run.result import CellResult
from growlm.data.example import Message
from growlm.metrics.scoring import Answer

Make = Callable[..., CellResult]


def with_answers(cell: CellResult, right: int, count: int = 20) -> CellResult:
    """Give a cell ``count`` answers on each skill, the first ``right`` of them right."""
    given = [Answer("q", Message("assistant", "w"), "a", float(number < right)) for number in range(count)]
    cell.answers = {skill: {cell.mode: given} for skill in cell.skills}
    return cell


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([1.0] * 5, 2 / 32),
        ([1.0, -1.0], 1.0),
        ([0.0, 0.0, 0.0], 1.0),
        ([3.0, 1.0, 2.0, -1.0], 6 / 16),  # |sum| >= 5: ++++, +-++, +++- and their mirror images
    ],
)
def test_few_pairs_are_enumerated(differences: list[float], expected: float):
    assert sign_flip_test(differences) == pytest.approx(expected)


def test_many_pairs_give_what_enumeration_gives():
    differences = [1.0, 0.5, -0.5, 1.0, 0.0, 1.0] * 3  # 18 pairs: convolved
    sizes = [abs(value) for value in differences if value]
    observed = abs(sum(differences))
    hits = sum(abs(sum(s * x for s, x in zip(signs, sizes, strict=True))) >= observed - 1e-9
               for signs in product((1, -1), repeat=len(sizes)))  # fmt: skip
    assert sign_flip_test(differences) == pytest.approx(hits / 2 ** len(sizes))
    assert math.isnan(sign_flip_test([]))


def test_cells_without_answers_are_paired_by_seed_and_order(make_cell: Make):
    mine = Row("grow", tuple(make_cell(seed=seed) for seed in range(6)))
    other = Row("other", tuple(make_cell("other", seed=seed, mode="all") for seed in range(6)))
    for cell in other.cells:
        cell.scores.modes["all"][3] = [0.0, 0.5, 1.0]
    found = compare(mine, other)
    assert (found.pairs, found.unit, found.reason) == (6, "cell", "")
    assert found.difference == pytest.approx(0.25 / 3)
    assert found.p_value == pytest.approx(2 / 64)
    few = compare(Row("grow", mine.cells[:3]), other)
    assert math.isnan(few.p_value)
    assert few.reason == "3 pairs cannot give p below 0.25"
    assert compare(Row("grow", mine.cells[:1]), Row("other", other.cells[1:])).reason == "no common seed and order"


def test_a_cell_without_an_order_is_one_sample(make_cell: Make):
    joint = Row("joint", tuple(make_cell("joint", seed=seed, mode="all", at_once=True) for seed in range(6)))
    other = Row("other", tuple(make_cell("other", seed=seed, mode="all") for seed in range(6) for _ in range(2)))
    found = compare(joint, other)
    assert (found.pairs, found.unit) == (6, "seed")
    assert compare(other, joint).pairs == 6


def in_order(cell: CellResult, order: str, last: float | None = None) -> CellResult:
    """Name the order of a cell; ``last`` is what its first skill has after the last phase."""
    cell.settings["order"] = order
    if last is not None:
        cell.scores.modes[cell.mode][3][0] = last
    return cell


def test_orders_that_change_nothing_are_one_sample(make_cell: Make):
    places = [(seed, order) for seed in range(6) for order in "12"]
    alone = Row("alone", tuple(in_order(make_cell(seed=seed), order, seed / 10) for seed, order in places))
    lasts = [(seed, order, (seed + int(order)) / 10) for seed, order in places]
    other = Row("other", tuple(in_order(make_cell(seed=seed), order, last) for seed, order, last in lasts))
    assert alone.ignores_order
    assert not other.ignores_order
    found = compare(alone, other)
    # the first of three skills is worse by 0.1 in one order and by 0.2 in the other, in each of six seeds
    assert (found.pairs, found.unit, found.difference) == (6, "seed", pytest.approx(-0.05))
    assert found.p_value == pytest.approx(2 / 64)
    assert compare(other, alone).pairs == 6
    assert compare(other, Row("again", other.cells)).pairs == 12
    assert compare(Row("alone", alone.cells[:6]), other).reason == "3 pairs cannot give p below 0.25"


def test_what_bounds_the_others_is_no_rival(make_cell: Make):
    joint = Row("joint", (make_cell("joint", mode="all", at_once=True),))
    joint.cells[0].data = {"mixture": {"test": "m"}}
    alone = Row("alone", (make_cell("alone"),))
    alone.cells[0].settings["method"] = "per_skill"
    grow, replay = (Row(label, (make_cell(label),)) for label in ("grow", "replay"))
    summary = Summary((joint, alone, grow, replay), 0)
    rivals = [found.other for row in summary.rows if (found := summary.comparison(row)) is not None]
    assert rivals == ["grow", "grow", "replay", "grow"]
    assert findings(summary)[0].startswith("grow (mode routed) has the highest average performance of those that learn")
    assert "mixture" not in summary.to_json()["data"], "digests are those of single skills"
    few = Summary((joint, grow), 0)
    found = few.comparison(grow)
    assert found is not None
    assert found.other == "joint"


def test_the_interval_of_copies_is_that_of_one_order(make_cell: Make):
    cells = [with_answers(make_cell(seed=seed), 10 + seed) for seed in range(3)]
    copies = [in_order(with_answers(make_cell(seed=seed), 10 + seed), "2") for seed in range(3)]
    assert interval(Row("alone", (*cells, *copies))) == interval(Row("alone", tuple(cells)))


def test_answers_are_paired_by_question(make_cell: Make):
    mine = Row("grow", tuple(with_answers(make_cell(seed=seed), 15) for seed in range(2)))
    other = Row("other", tuple(with_answers(make_cell("other", seed=seed), 11) for seed in range(2)))
    found = compare(mine, other)
    assert (found.pairs, found.unit) == (60, "question")
    assert found.difference == pytest.approx(0.2)
    assert found.p_value == pytest.approx(2 / 2**12)  # 12 questions differ, all to one side
    assert sum(question_scores(mine.cells[0]).values()) / 60 == pytest.approx(0.75)


def test_the_interval_includes_the_sampling_of_questions(make_cell: Make):
    narrow = interval(Row("grow", (with_answers(make_cell(), 150, 200),)))
    wide = interval(Row("grow", (with_answers(make_cell(), 15, 20),)))
    # standard error of a share of 0.75 over 3 skills of n questions: 0.0177 and 0.0559
    assert narrow == (pytest.approx(0.75 - 1.96 * 0.0177, abs=0.008), pytest.approx(0.75 + 1.96 * 0.0177, abs=0.008))
    assert wide == (pytest.approx(0.75 - 1.96 * 0.0559, abs=0.025), pytest.approx(0.75 + 1.96 * 0.0559, abs=0.025))
    assert all(math.isnan(end) for end in interval(Row("grow", (make_cell(),))))
