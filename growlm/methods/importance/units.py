"""Units of a module and their importance: the scores of elements put together, normalised, accumulated and compared.

After TaSL and KIF (Feng et al. 2024, arXiv 2408.09857 and 2408.05200). A unit's score is the mean of its elements': of
a whole matrix, or of all products of column r of B with row r of A, for the part of a low-rank change that is of rank
one. That mean is mean(b) · mean(a) exactly, so that no [O, I] matrix is made for every rank.

Proved by tests/golden/test_tasl.py.

Shapes: R rank, I input dim, O output dim.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

ACCUMULATED = "importance/"
"""What the tensors are called, but for the unit, that hold the importance to all skills so far."""
OF_PHASE = "phase_importance/"
"""Likewise for the importance to the phase's skill alone."""

Units = Literal["matrix", "rank"]


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


def normalised(scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Shift and scale all scores together so that the least is 0 and the greatest 1.

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
