"""Which units of a module matter to a skill: sensitivity of the loss, smoothed over the steps of a phase.

After TaSL and KIF (Feng et al. 2024, arXiv 2408.09857 and 2408.05200), whose score is that of AdaLoRA (Zhang et al.
2023, arXiv 2303.10512, eq. 8 to 11). For a weight w with gradient g, in every step:

    s = |w g|        Ī ← β1 Ī + (1 - β1) s        Ū ← β2 Ū + (1 - β2) |s - Ī|        score = Ī Ū

(the new Ī is the one that s is compared with). A unit's score is the mean of its elements': of a whole matrix, or of
all products of column r of B with row r of A, for the part of a low-rank change that is of rank one. That mean is
mean(b) · mean(a) exactly, so that no [O, I] matrix is made for every rank.

Scores multiply four small numbers: with |w g| near 1e-9 a product of two of them is below the least fp32, and every
unit would be as unimportant as the other. Ī and Ū are kept in fp32, what is computed of them in fp64.

Proved by tests/golden/test_tasl.py.

Shapes: R rank, I input dim, O output dim.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

ACCUMULATED = "importance/"
"""What the tensors are called, but for the unit, that hold the importance to all skills so far."""
OF_PHASE = "phase_importance/"
"""Likewise for the importance to the phase's skill alone."""

Order = Literal["first", "mixed", "second"]
Units = Literal["matrix", "rank"]


def sensitivity(weight: Tensor, gradient: Tensor, order: Order = "first") -> Tensor:
    """Estimate by how much the loss would change if each element were zero.

    Args:
        weight: w, of any shape.
        gradient: g, of the same shape.
        order: ``first``: |w g|. ``mixed``: |w g - (w g)² / 2|, the Taylor series up to the second order with g² for the
            diagonal of the Hessian (the Fisher information). ``second``: (w g)².

    Returns:
        The sensitivities, fp32, of the same shape.
    """
    product = weight.float() * gradient.float()
    if order == "first":
        return product.abs()
    return product.square() if order == "second" else (product - product.square() / 2).abs()


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
        order: how sensitivities are estimated; see ``sensitivity``.
    """

    def __init__(self, beta1: float = 0.85, beta2: float = 0.85, order: Order = "first") -> None:
        self.beta1 = beta1
        self.beta2 = beta2
        self.order: Order = order
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
        found = sensitivity(weight, gradient, self.order)
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
                scores[name] = self._mean[name].cpu().double() * self._deviation[name].cpu().double()
            else:
                scores[name] = torch.zeros(tensor.shape, dtype=torch.float64)
        return scores

    def state_dict(self) -> dict[str, Any]:
        """Return Ī and Ū by the names of the tensors."""
        return {"mean": dict(self._mean), "deviation": dict(self._deviation)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._mean, self._deviation = dict(state["mean"]), dict(state["deviation"])


# -- units -------------------------------------------------------------------------------------------------------------


def rank_scores(a_RI: Tensor, b_OR: Tensor) -> Tensor:
    """Score each part of rank one of a low-rank change: the mean of the outer product of its elements' scores.

    Args:
        a_RI: scores of A's elements, [R, I].
        b_OR: scores of B's elements, [O, R].

    Returns:
        The units' scores, [R].
    """
    return b_OR.mean(dim=0) * a_RI.mean(dim=1)


def unit_of(name: str, units: Units) -> str:
    """Return the unit, or row of units, that a tensor belongs to: the tensor itself, or its low-rank change."""
    return name if units == "matrix" else name.rpartition(".")[0]


def unit_scores(elements: Mapping[str, Tensor], units: Units) -> dict[str, Tensor]:
    """Score the units.

    Args:
        elements: scores of the elements by the tensors' names; for ``rank``, the A and B of low-rank changes.
        units: every tensor is one unit, or every rank of a low-rank change.

    Returns:
        By the name of the tensor, [1]; or by the name of the low-rank change, [R].
    """
    if units == "matrix":
        return {name: scores.mean().reshape(1) for name, scores in elements.items()}
    changes = dict.fromkeys(unit_of(name, units) for name in elements)
    return {change: rank_scores(elements[f"{change}.A"], elements[f"{change}.B"]) for change in changes}


def spread(of_units: Mapping[str, Tensor], name: str, units: Units) -> Tensor:
    """Lay out a value per unit so that it can be multiplied with one of the units' tensors.

    Args:
        of_units: what ``unit_scores`` gives, or something of the same names and shapes.
        name: the tensor's name.
        units: what a unit is.

    Returns:
        The values, [1] for a matrix, [R, 1] for A and [R] for B.
    """
    values = of_units[unit_of(name, units)]
    return values.unsqueeze(1) if units == "rank" and name.endswith(".A") else values


# -- over a model, and over skills -------------------------------------------------------------------------------------


def normalised(scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Move and scales all scores together so that the least is 0 and the greatest 1.

    If all are equal, none is more important than another, and all become 0.

    Args:
        scores: scores of units by name.

    Returns:
        The scores, fp32, of the same names and shapes.
    """
    least = min(tensor.min().item() for tensor in scores.values())
    width = max(tensor.max().item() for tensor in scores.values()) - least
    if width == 0:
        return {name: torch.zeros_like(tensor, dtype=torch.float32) for name, tensor in scores.items()}
    return {name: ((tensor.double() - least) / width).float() for name, tensor in scores.items()}


def accumulated(earlier: Mapping[str, Tensor], new: Mapping[str, Tensor], new_weight: float = 0.3) -> dict[str, Tensor]:
    """Join a skill's importance with that of all skills before it.

    Args:
        earlier: the accumulated importance, normalised.
        new: the skill's own, normalised, of the same names and shapes.
        new_weight: what the skill's own is multiplied by; the accumulated one has the rest.

    Returns:
        The accumulated importance, normalised again.
    """
    return normalised({name: new_weight * new[name] + (1 - new_weight) * earlier[name] for name in earlier})


def important(scores: Mapping[str, Tensor], share: float = 0.2) -> dict[str, Tensor]:
    """Pick the units with the highest scores, a share of all of them together.

    A unit counts if its score is above that of the first one that does not: of equal scores at the edge none counts,
    and if all are equal none does.

    Args:
        scores: scores of units by name.
        share: which share of all units is important at most, rounded down to whole units but at least one.

    Returns:
        Whether each is important, by name, of the same shapes.
    """
    values = torch.cat([tensor.flatten() for tensor in scores.values()])
    number = max(1, int(share * len(values) + 1e-9))
    threshold = values.kthvalue(max(1, len(values) - number)).values
    return {name: tensor > threshold for name, tensor in scores.items()}
