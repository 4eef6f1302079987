"""Scores in the middle of a phase, so that methods can be compared at equal tokens, FLOPs or seconds.

Every few steps some of the test examples are scored by their tokens with the path that is trained: those of the skill
that is learned and, where the method's authors mean all modules to be active, of the earlier ones, too. The end of the
training is a point like the others, before anything is fused or merged: how much the score of all examples differs from
it is added to the other points of the phase when a report reads them.
"""

import time
from collections.abc import Mapping
from itertools import islice
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from growlm.data.encode import Encoded, encode
from growlm.metrics.scoring import token_sums
from growlm.skills.skill import Skill
from growlm.train.validate import scoring_in_training

SHARE = 4
"""A fourth of the scored examples is looked at in the middle of a phase."""


class CurvePoints(Callback):
    """Scores skills at regular steps of a phase.

    Args:
        count: how many points there are before the end, at equal distances.
        skills: the skills by name, each scored by ``token_accuracy`` or ``loss``.
        limit: how many test examples of each.

    Attributes:
        points: for each point ``step``, ``tokens``, ``seconds`` of training so far, and ``scores`` by skill.
        seconds: what measuring them took, which the phase's clock has counted as training.
    """

    def __init__(self, count: int, skills: Mapping[str, Skill], limit: int) -> None:
        self._count = count
        self._skills = skills
        self._limit = limit
        self._encoded: dict[str, list[Encoded]] = {}
        self.points: list[dict[str, Any]] = []
        self.seconds = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Encode the examples."""
        stack: Any = pl_module.stack
        for name, skill in self._skills.items():
            examples = islice(skill.examples("test"), self._limit)
            self._encoded[name] = [encode(example, stack.tokenizer, stack.context_length) for example in examples]

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Measure a point if its step is done."""
        step, measured = trainer.global_step, self.points[-1]["step"] if self.points else 0
        if step == measured or step not in point_steps(self._count, int(trainer.max_steps)):
            return
        phase: Any = pl_module
        point = {"step": step, "tokens": phase.tokens_seen, "seconds": round(phase.seconds - self.seconds, 3)}
        started = time.monotonic()
        self.points.append({**point, "scores": self._scores(trainer, phase.stack)})
        self.seconds += time.monotonic() - started

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs."""
        return {"points": list(self.points), "seconds": self.seconds}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.points, self.seconds = list(state_dict["points"]), float(state_dict["seconds"])

    def _scores(self, trainer: Trainer, stack: Any) -> dict[str, float]:
        with scoring_in_training(trainer, stack):
            sums = {name: token_sums(stack, examples) for name, examples in self._encoded.items()}
        return {name: s.loss if self._skills[name].metric == "loss" else s.accuracy for name, s in sums.items()}


def with_points(cost: dict[str, Any], measured: CurvePoints) -> dict[str, Any]:
    """Add the points of a phase to its cost, FLOPs in proportion to tokens, and take what they took off its seconds.

    Args:
        cost: the cost; see ``growlm.bench.run.cost``.
        measured: the points.
    """
    per_token = cost["flops"] / max(1, cost["tokens"])
    points = [{**point, "flops": per_token * point["tokens"]} for point in measured.points]
    return {**cost, "seconds": round(max(0.0, cost["seconds"] - measured.seconds), 3), "points": points}


def point_steps(count: int, num_steps: int) -> list[int]:
    """List the steps after which points are measured, the last one always among them.

    Args:
        count: how many before the end.
        num_steps: steps of the phase.
    """
    return sorted({max(1, num_steps * number // (count + 1)) for number in range(1, count + 1)} | {num_steps})
