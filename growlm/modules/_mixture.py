"""How the experts of several modules are weighed against each other: one mixture, to which each module adds a column.

With l_k the logit of column k for a token, and 0 that of a column for the bare base, which adds nothing,

    m_k = max(exp(l_k) - 1, 0),     w_k = m_k / (1 + sum_j m_j).

This is a softmax that counts of each exp(l_k) only what it has more than the base's exp(0): for large logits it is the
softmax over all columns, and a column that is not preferred to the base has a weight of exactly zero. So a column of
zeros takes part in nothing, and the others' weights are what they are without it, bit for bit. Its gradient is that of
exp(l_k) - 1 everywhere (a straight-through estimate below zero), so that a closed column can learn to open.

Shapes: B batch, T tokens.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from growlm.modules._site import Switch

LARGEST_LOGIT = 40.0
"""What a greater logit counts as, so that no mass is infinite."""


def column_mass(logits_BT: Tensor) -> Tensor:
    """Computes m = max(exp(l) - 1, 0) with the gradient exp(l) everywhere.

    Args:
        logits_BT: a column's logits, [B, T].

    Returns:
        The column's masses, [B, T].
    """
    mass_BT = torch.expm1(logits_BT.clamp(max=LARGEST_LOGIT))
    return mass_BT - mass_BT.detach().clamp(max=0)


def mixture_weights(masses: Sequence[Tensor]) -> list[Tensor]:
    """Computes w_k = m_k / (1 + sum_j m_j).

    The sum is taken column by column, so that a column without mass changes no bit of the others' weights.

    Args:
        masses: each column's masses, in order of growth, each [B, T].

    Returns:
        Each column's weights, [B, T].
    """
    total_BT = torch.ones_like(masses[0])
    for mass_BT in masses:
        total_BT = total_BT + mass_BT
    return [mass_BT / total_BT for mass_BT in masses]


def is_among_largest(weights: Sequence[Tensor], column: int, count: int) -> Tensor:
    """Tells where a column's weight is one of the largest; of equal ones the older counts as larger.

    Args:
        weights: each column's weights, [B, T].
        column: which column.
        count: how many are the largest ones.

    Returns:
        Bool[B, T].
    """
    own_BT = weights[column]
    ahead_BT = torch.zeros_like(own_BT, dtype=torch.long)
    for index, other_BT in enumerate(weights):
        if index != column:
            ahead_BT += (other_BT >= own_BT) if index < column else (other_BT > own_BT)
    return ahead_BT < count


@dataclass(frozen=True)
class Share:
    """What one module's experts get of the mixture in a pass.

    Args:
        weight: how much they count, [B, T].
        tokens: numbers of the tokens, of all B T, for which they are to be run; None: all.
    """

    weight: Tensor
    tokens: Tensor | None


@dataclass(frozen=True)
class _Note:
    logits: Tensor
    top_k: int | None


class Mixture:
    """The mixture of one pass: the logits that the columns have noted, and what follows from them.

    The columns of all active modules note theirs before the first expert asks for its share. What is here outlives the
    pass, until the next one overwrites it, so that what is recomputed in a backward pass finds it; it is not copied.

    Args:
        switch: the stack's switch.
    """

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._notes: dict[str, _Note] = {}
        self._shares: dict[str, Share] = {}

    def note(self, name: str, logits_BT: Tensor, top_k: int | None) -> None:
        """Notes the logits of a module's column.

        Args:
            name: the module.
            logits_BT: its logits, [B, T].
            top_k: run its experts only for tokens where its weight is among so many largest; None: always.
        """
        self._notes[name] = _Note(logits_BT, top_k)
        self._shares = {}

    def logits(self, name: str) -> Tensor:
        """Gives the logits of a module's column in the last pass, [B, T]."""
        return self._notes[name].logits

    def share(self, name: str) -> Share:
        """Gives what a module's experts get in the pass that is going on."""
        if not self._shares:
            self._shares = self._divide()
        return self._shares[name]

    def _divide(self) -> dict[str, Share]:
        names = [name for name in self._switch.active if name in self._notes]
        weights = mixture_weights([self._mass(name) for name in names])
        shares: dict[str, Share] = {}
        for column, (name, weight_BT) in enumerate(zip(names, weights, strict=True)):
            top_k = self._notes[name].top_k
            if weight_BT.requires_grad:  # in training all experts are mixed, and a closed one learns too
                shares[name] = Share(weight_BT, None)
            elif top_k is None:
                none_B = None if bool(weight_BT.any()) else torch.zeros(0, dtype=torch.long, device=weight_BT.device)
                shares[name] = Share(weight_BT, none_B)
            else:
                kept_BT = is_among_largest(weights, column, top_k) & (weight_BT > 0)
                shares[name] = Share(weight_BT, kept_BT.flatten().nonzero().flatten())
        return shares

    def _mass(self, name: str) -> Tensor:
        mass_BT = column_mass(self._notes[name].logits)
        rows_B = self._switch.rows.get(name)
        return mass_BT if rows_B is None else torch.where(rows_B[:, None], mass_BT, 0.0)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Gives an empty mixture: what a pass left belongs to that pass."""
        return type(self)(copy.deepcopy(self._switch, memo))
