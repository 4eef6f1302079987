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

from growlm.modules.site import Switch

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


def total_mass(masses: Sequence[Tensor]) -> Tensor:
    """Computes 1 + sum_j m_j.

    The sum is taken column by column, so that a column without mass changes no bit of it.

    Args:
        masses: each column's masses, in order of growth, at least one, each [B, T].

    Returns:
        The sums, [B, T].
    """
    total_BT = torch.ones_like(masses[0])
    for mass_BT in masses:
        total_BT = total_BT + mass_BT
    return total_BT


def is_among_largest(masses: Sequence[Tensor], column: int, count: int) -> Tensor:
    """Tells where a column's mass is one of the largest; of equal ones the older counts as larger.

    Args:
        masses: each column's masses, [B, T].
        column: which column.
        count: how many are the largest ones.

    Returns:
        Bool[B, T].
    """
    own_BT = masses[column]
    ahead_BT = torch.zeros_like(own_BT, dtype=torch.long)
    for index, other_BT in enumerate(masses):
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
    mass: Tensor
    top_k: int | None
    training: bool


class Mixture:
    """The mixture of one pass: what the columns have noted, and what follows from it.

    All active modules' columns, in order of growth, make their notes before the first expert asks for its share. What
    is here outlives the pass, so that what is recomputed in a backward pass finds it; it is not copied.

    Args:
        switch: the stack's switch.
    """

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._notes: dict[str, _Note] = {}
        self._total = torch.ones(())
        self._tokens: dict[str, Tensor | None] | None = None

    def note(self, name: str, logits_BT: Tensor, top_k: int | None, training: bool) -> None:
        """Notes the logits of a module's column.

        Args:
            name: the module.
            logits_BT: its logits, [B, T].
            top_k: run its experts only for tokens where its weight is among so many largest; None: wherever it has any.
            training: whether the module is being trained, which takes the mixture of all experts.
        """
        active = self._switch.active
        earlier = active[: active.index(name)]  # theirs are of this pass, all others of former ones
        self._notes = {other: note for other, note in self._notes.items() if other in earlier}
        mass_BT, rows_B = column_mass(logits_BT), self._switch.rows.get(name)
        if rows_B is not None:
            mass_BT = torch.where(rows_B[:, None], mass_BT, 0.0)
        self._notes[name] = _Note(logits_BT, mass_BT, top_k, training)
        self._total = total_mass([note.mass for note in self._notes.values()])
        self._tokens = None

    def logits(self, name: str) -> Tensor:
        """Gives the logits of a module's column in the last pass, [B, T]."""
        return self._notes[name].logits

    def share(self, name: str) -> Share:
        """Gives what a module's experts get in the pass that is going on."""
        if self._tokens is None:
            self._tokens = self._choose()
        return Share(self._notes[name].mass / self._total, self._tokens[name])

    @torch.no_grad()
    def _choose(self) -> dict[str, Tensor | None]:
        """Chooses the tokens for which each module's experts are run; None: all."""
        masses = [note.mass for note in self._notes.values()]
        training = any(note.training for note in self._notes.values())
        chosen: dict[str, Tensor | None] = {}
        for column, (name, note) in enumerate(self._notes.items()):
            chosen[name] = None
            if note.top_k is not None and not training:
                kept_BT = is_among_largest(masses, column, note.top_k) & (note.mass > 0)
                chosen[name] = kept_BT.flatten().nonzero().flatten()
            elif not self._total.requires_grad and not bool(note.mass.any()):  # a closed one that learns is run
                chosen[name] = torch.zeros(0, dtype=torch.long, device=note.mass.device)
        return chosen

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Gives an empty mixture: what a pass left belongs to that pass."""
        return type(self)(copy.deepcopy(self._switch, memo))
