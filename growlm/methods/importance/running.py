"""The importance of every element of some tensors, over the steps of a phase.

What a step says of an element is the measure's. The smoothing and the uncertainty are those of AdaLoRA (Zhang et al.
2023, arXiv 2303.10512, eq. 9 and 10), which TaSL and KIF took over. For a sensitivity s, in every step:

    Ī ← β1 Ī + (1 - β1) s        Ū ← β2 Ū + (1 - β2) |s - Ī|

(the new Ī is the one that s is compared with).

Scores multiply four small numbers: with |w g| near 1e-9 a product of two of them is below the least fp32, and every
unit would be as unimportant as the other. Ī and Ū are kept in fp32, what is computed of them in fp64.

Proved by tests/golden/test_tasl.py.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from growlm.methods.importance.measure import ImportanceMeasure
from growlm.registry import importance_measures


def smooth(
    mean: Tensor, deviation: Tensor, found: Tensor, beta1: float = 0.85, beta2: float = 0.85
) -> tuple[Tensor, Tensor]:
    """Add one step's sensitivities to the running means.

    Args:
        mean: Ī, the smoothed sensitivity.
        deviation: Ū, how far sensitivities have been from it: the uncertainty.
        found: s, those of this step, of the same shape.
        beta1: what Ī keeps of itself.
        beta2: what Ū keeps of itself.

    Returns:
        The new Ī and Ū.
    """
    mean = beta1 * mean + (1 - beta1) * found
    return mean, beta2 * deviation + (1 - beta2) * (found - mean).abs()


class Importance:
    """The running importance of every element of some tensors.

    Args:
        beta1: what the smoothed sensitivity keeps of itself in a step.
        beta2: what the smoothed uncertainty keeps of itself in a step.
        order: name of the measure.

    Raises:
        GrowlmError: if there is no such measure.
    """

    def __init__(self, beta1: float = 0.85, beta2: float = 0.85, order: str = "first") -> None:
        self.beta1 = beta1
        self.beta2 = beta2
        self._measure: ImportanceMeasure = importance_measures.build(order)
        self.clear()

    def clear(self) -> None:
        """Forget everything that was seen."""
        self._mean: dict[str, Tensor] = {}
        self._deviation: dict[str, Tensor] = {}

    @torch.no_grad()
    def see(self, name: str, weight: Tensor, gradient: Tensor) -> None:
        """Add one step's gradient.

        Args:
            name: the tensor's name.
            weight: its values in this step.
            gradient: the gradient, unscaled and clipped.
        """
        found = self._measure.sensitivity(weight.float(), gradient.float())
        zero = torch.zeros_like(found)
        mean, deviation = self._mean.get(name, zero), self._deviation.get(name, zero)
        self._mean[name], self._deviation[name] = smooth(
            mean.to(found.device), deviation.to(found.device), found, self.beta1, self.beta2
        )

    def elements(self, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the score of every element, fp64 on the CPU (not every device has it); where nothing was seen, zeros.

        Args:
            like: the tensors by name, for their shapes.
        """
        scores: dict[str, Tensor] = {}
        for name, tensor in like.items():
            if name in self._mean:
                mean, deviation = self._mean[name].cpu().double(), self._deviation[name].cpu().double()
                scores[name] = self._measure.score(mean, deviation)
            else:
                scores[name] = torch.zeros(tensor.shape, dtype=torch.float64)
        return scores

    def state_dict(self) -> dict[str, Any]:
        """Return Ī and Ū by the names of the tensors."""
        return {"mean": dict(self._mean), "deviation": dict(self._deviation)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._mean, self._deviation = dict(state["mean"]), dict(state["deviation"])
