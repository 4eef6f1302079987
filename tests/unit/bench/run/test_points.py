"""Points in the middle of a phase: when they are measured, what they hold, and what they cost."""

from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from growlm.bench.plan.cell import Measured, plan_cells
from growlm.bench.plan.entries import Entry
from growlm.bench.plan.stream import Stream, StreamSkill
from growlm.bench.run.points import CurvePoints, point_steps, with_points
from growlm.data.encode import encode
from growlm.data.example import Example, Split
from growlm.errors import GrowlmError
from growlm.metrics.scoring import token_sums
from growlm.skills.skill import Skill


class Words(Skill):
    def __init__(self, metric: Any) -> None:
        self.metric = metric

    def examples(self, split: Split) -> Iterator[Example]:
        return (Example(str(n), prompt=f"the cat {n}", completion=" sat on a box") for n in range(6))


def test_steps_have_equal_distances_and_the_last_is_among_them():
    assert point_steps(3, 16) == [4, 8, 12, 16]
    assert point_steps(2, 10) == [3, 6, 10]
    assert point_steps(5, 3) == [1, 2, 3]


@pytest.mark.parametrize("metric", ["token_accuracy", "loss"])
def test_points_are_scores_of_the_active_path(new_stack: Any, metric: str):
    stack = new_stack(modules=("one",))
    stack.train()
    plugin = SimpleNamespace(val_step_context=nullcontext)
    trainer: Any = SimpleNamespace(global_step=0, max_steps=4, precision_plugin=plugin)
    phase: Any = SimpleNamespace(stack=stack, tokens_seen=0, seconds=0.0)
    points = CurvePoints(1, {"words": Words(metric)}, 4)
    points.on_train_start(trainer, phase)
    for step in (0, 1, 2, 2, 3, 4):  # a step with accumulated gradients ends twice
        trainer.global_step, phase.tokens_seen, phase.seconds = step, 10 * step, 1.0 * step + points.seconds
        points.on_train_batch_end(trainer, phase)
    assert stack.training
    stack.eval()
    sums = token_sums(
        stack, [encode(e, stack.tokenizer, stack.context_length) for e in list(Words(metric).examples("test"))[:4]]
    )
    expected = sums.loss if metric == "loss" else sums.accuracy
    assert [(point["step"], point["tokens"], point["scores"]) for point in points.points] == [
        (2, 20, {"words": expected}),
        (4, 40, {"words": expected}),
    ]
    assert points.points[1]["seconds"] == pytest.approx(4.0, abs=1e-3), "what measuring took is no training"
    again = CurvePoints(1, {}, 4)
    again.load_state_dict(points.state_dict())
    assert (again.points, again.seconds) == (points.points, points.seconds)


def test_flops_are_in_proportion_and_seconds_are_those_of_training():
    points = CurvePoints(1, {}, 4)
    points.load_state_dict({"points": [{"step": 2, "tokens": 25, "seconds": 1.0, "scores": {}}], "seconds": 0.5})
    cost = with_points({"tokens": 100, "flops": 4_000.0, "seconds": 2.0}, points)
    assert cost["seconds"] == 1.5
    assert [point["flops"] for point in cost["points"]] == [1_000.0]


def test_phases_that_are_scored_by_answers_have_no_points():
    stream = Stream("one", {"chat": StreamSkill("chat", {})}, {"1": ("chat",)}, {"steps": 3}, {})
    entry = Entry("grow", "grow", {}, {})
    with pytest.raises(GrowlmError, match="'grow' is scored by the metrics of the skills: add --phase"):
        plan_cells(stream, [entry], ["1"], [0], "nano", {}, Measured(curve=2))
    (cell,) = plan_cells(stream, [entry], ["1"], [0], "nano", {"metric": "token_accuracy"}, Measured(curve=2))
    assert cell.settings()["curve"] == 2
    (plain,) = plan_cells(stream, [entry], ["1"], [0], "nano", {}, Measured())
    assert "curve" not in plain.settings(), "the settings of earlier results are as they were"
