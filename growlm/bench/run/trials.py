"""Trials of a cell: how well its model would go on learning, on a copy of the stack that is thrown away.

Whether a method still learns late is not seen in the scores of its own phases, whose skills differ. So one and the same
skill, which is in no phase, is learned for a few steps from every checkpoint, the bare base first (``fresh_trial``).
And whether what was forgotten is lost, or only out of reach, is seen when the first skill is learned again for as many
steps after the last phase (``recovery_trial``). Both are phases of the entry's own method and settings.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from growlm.bench.plan.cell import Cell, PhasePlan
from growlm.registry import skills
from growlm.train.config import PhaseConfig
from growlm.train.result import Grown

TRIAL = "trial"
"""Folder of the copy, beside the stack."""
Grow = Callable[[PhasePlan, Path], Grown]
"""Runs a phase on a stack's folder."""


def fresh_trial(cell: Cell, stack: Path, after: int, grow: Grow) -> dict[str, float]:
    """Learn the skill of no phase for a few steps.

    Args:
        cell: the cell, one that names such a skill.
        stack: folder of the cell's stack; none yet before the first phase.
        after: how many phases there were.
        grow: runs a phase.

    Returns:
        ``after``, and the skill's ``value`` and ``loss`` on its own path then.
    """
    skill = cell.measured.fresh
    assert skill is not None
    few = {
        "num_train": cell.measured.trial_steps * int(cell.phase.get("batch_size", PhaseConfig.batch_size)),
        "num_test": int(cell.phase["num_scored"]),
    }
    options = {key: number for key, number in few.items() if key in skills.options(skill)}
    return {"after": after, **_scores(cell.trial(skill, options), stack, grow)}


def recovery_trial(cell: Cell, stack: Path, grow: Grow) -> dict[str, float]:
    """Learn the first skill again for a few steps.

    Args:
        cell: the cell, after its last phase.
        stack: folder of the cell's stack.
        grow: runs a phase.

    Returns:
        The skill's ``value`` and ``loss`` on the new path then.
    """
    first = cell.stream.skills[cell.skills[0]]
    return _scores(cell.trial(first.skill, first.options), stack, grow)


def _scores(plan: PhasePlan, stack: Path, grow: Grow) -> dict[str, float]:
    copy = stack.with_name(TRIAL)
    shutil.rmtree(copy, ignore_errors=True)
    if stack.exists():
        shutil.copytree(stack, copy)
    try:
        scores = grow(plan, copy).record.scores[plan.name]["oracle"]
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    return {"value": scores["value"], "loss": scores["loss"]}
