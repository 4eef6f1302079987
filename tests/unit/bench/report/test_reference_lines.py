"""What scores are read against: worked out by hand from the cells of ``conftest``."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from growlm.bench.report.charts import spread_apart
from growlm.bench.report.reference_lines import references, share_of_range, usable_floor
from growlm.bench.report.report import write_report
from growlm.bench.report.statistics import Row
from growlm.bench.report.tables import Summary
from growlm.bench.run.result import CellResult
from growlm.data.example import Example, Message, Split
from growlm.metrics.references import reference_scores
from growlm.skills.skill import Skill

KNOWN = {
    "chat": {"drawn": 0.5, "majority": 0.25, "blind": 0.125},
    "memory": {"drawn": 0.0, "majority": 0.125, "blind": 0.0},
    "arithmetic": {"drawn": 0.25, "majority": 0.25},
}


def test_references_are_the_base_and_what_the_cells_keep(make_cell: Callable[..., CellResult]):
    rows = [Row("grow", (make_cell(references=KNOWN),))]
    base, drawn, majority, blind = references(rows)
    assert (base.title, base.by_skill) == ("bare base", {"chat": 0.0, "memory": 0.25, "arithmetic": 0.5})
    assert drawn.mean(("chat", "memory", "arithmetic")) == 0.25
    assert majority.mean(("chat", "memory")) == pytest.approx(0.1875)
    assert math.isnan(blind.mean(("chat", "memory", "arithmetic"))), "arithmetic has none"
    # the greatest of each: 0.5 drawn, 0.25 base, 0.5 base
    assert usable_floor(rows) == pytest.approx(1.25 / 3)


def test_labels_of_lines_are_kept_apart():
    assert spread_apart([0.0, 0.05, 0.06, 0.5], 0.1) == pytest.approx([0.0, 0.1, 0.2, 0.5])


def test_the_share_of_the_usable_range():
    assert share_of_range(0.5, 0.25, 0.75) == 0.5
    assert share_of_range(0.25, 0.5, 1.0) == -0.5
    assert math.isnan(share_of_range(0.5, 0.75, 0.75))


@pytest.mark.usefixtures("without_plots")
def test_tables_and_page_have_them(make_cell: Callable[..., CellResult], write_cells: Callable[..., Path]):
    joint = make_cell("joint", at_once=True, mode="all", references=KNOWN)
    folder = write_cells(make_cell(references=KNOWN), joint)
    write_report(folder)
    text = (folder / "report.html").read_text()
    assert '<th scope="row">drawn choice</th><td></td><td>25.0</td>' in text
    assert '<th scope="row">question-blind counter</th><td></td><td>n/a (not of every skill)</td>' in text
    assert '<th scope="row">majority answer</th><td>25.0</td><td>25.0</td><td>12.5</td>' in text, "skills by name"
    assert "a drawn choice 25.0, a majority answer 20.8" in text
    assert (folder / "tables/per-skill.csv").read_text().splitlines()[
        -1
    ] == "question-blind counter,n/a (undefined),12.5,0.0"
    summary = Summary((Row("grow", (make_cell(),)), Row("joint", (joint,))), 0)
    # AP 7 / 12 of both; the floor 5 / 12
    assert summary.share(summary.rows[0]) == pytest.approx(1.0)
    assert math.isnan(Summary((Row("grow", (make_cell(),)),), 0).share(Row("grow", (make_cell(),))))


@pytest.mark.usefixtures("without_plots")
def test_joint_training_below_a_reference_is_said(
    make_cell: Callable[..., CellResult], write_cells: Callable[..., Path]
):
    above = {skill: {"blind": 0.9} for skill in KNOWN}
    folder = write_cells(make_cell(references=above), make_cell("joint", at_once=True, mode="all", references=above))
    write_report(folder)
    text = (folder / "report.html").read_text()
    assert "share of range, % (joint training is below a reference)" in text
    assert "below a score that needs no model: these phases are too short" in text


class Labels(Skill):
    """Four labelled texts."""

    metric = "label_match"

    def examples(self, split: Split) -> Iterator[Example]:
        """Yield the same examples in every split."""
        for number, label in enumerate(("yes", "yes", "yes", "no")):
            yield Example(f"labels/{number}", prompt="?", completion=label, choices=("yes", "no"))


class Talk(Skill):
    """Two questions with the same answer."""

    metric = "contains"

    def examples(self, split: Split) -> Iterator[Example]:
        """Yield the same examples in every split."""
        for number in range(2):
            reply = Message("assistant", "It is red.", (("red",),), ("red", "blue"))
            yield Example(f"talk/{number}", messages=(Message("user", "Colour?"), reply))


def test_references_of_a_skill():
    assert reference_scores(Labels(), None) == {"drawn": 0.5, "majority": 0.75}
    assert reference_scores(Talk(), None) == {"drawn": 0.5, "majority": 1.0, "blind": 1.0}
    tokens = Labels()
    tokens.metric = "token_accuracy"
    assert reference_scores(tokens, None) == {}
