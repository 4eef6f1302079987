"""Learning-rate schedules: a factor as a pure function of the step."""

import math
from typing import Literal

ScheduleName = Literal["constant", "cosine", "wsd"]


def schedule_factor(
    name: ScheduleName, step: int, num_steps: int, warmup_steps: int = 0, decay_share: float = 0.5, floor: float = 0.0
) -> float:
    """Compute what the peak learning rate is multiplied by at a step.

    Args:
        name: ``"constant"``; ``"cosine"`` from 1 to the floor after warm-up (Loshchilov & Hutter, 2017); ``"wsd"``,
            warm-up, stable, then linear decay to the floor (Hu et al., 2024).
        step: the step to be taken, from 0.
        num_steps: steps in all.
        warmup_steps: steps of linear warm-up.
        decay_share: share of all steps that ``"wsd"`` decays over.
        floor: the last factor, as a share of the peak.

    Returns:
        The factor, in (0, 1] except for a floor of 0, which is approached but not reached.
    """
    warm = min(1.0, (step + 1) / (warmup_steps + 1))
    if name == "constant":
        return warm
    if name == "cosine":
        progress = min(1.0, max(0, step - warmup_steps) / max(1, num_steps - warmup_steps))
        return warm * (floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2)
    decay_steps = max(1.0, decay_share * num_steps)
    left = min(1.0, (num_steps - step) / decay_steps)
    return warm * (floor + (1 - floor) * left)
