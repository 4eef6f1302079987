"""How the experts of several modules are weighed against each other: one mixture, to which each module adds a gate.

With l_k the logit of the gate of module k for a token, of K active modules:

    softmax:  w_k = exp(l_k) / (N - K + sum_j exp(l_j)),        N the number of experts that the router has room for
    gated:    w_k = m_k / (1 + sum_j m_j),                      m_k = max(exp(l_k) - 1, 0)

``softmax`` is PMoE's router, softmax(x W_g) with N columns, of which those that no expert has taken yet have logit 0
and add nothing. A new expert takes one of them over: its gate begins at logit 0 too, so that the denominator, computed
as N + sum_j (exp(l_j) - 1), keeps every bit, and its output begins at zero. ``gated`` counts of each exp(l_k) only what
it has more than exp(0), that of the bare base: a gate that is not preferred to the base has a weight of exactly zero,
and the others' weights are then what they are without it, bit for bit. Its gradient is that of exp(l_k) - 1 everywhere
(a straight-through estimate below zero), so that a closed gate can learn to open.

Shapes: B batch, T tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from growlm.errors import GrowlmError
from growlm.modules.context import ForwardContext

LARGEST_LOGIT = 40.0
"""What a greater logit counts as, so that no exponential is infinite."""

Weighting = Literal["softmax", "gated"]


@dataclass(frozen=True)
class MixtureSpec:
    """Which mixture an expert belongs to; those of equal specs are weighed against each other.

    Args:
        boundary: how many layers are below the router.
        weighting: how logits become weights.
        num_experts: N of ``softmax``, one more than the modules that there is room for.
    """

    boundary: int
    weighting: Weighting = "gated"
    num_experts: int = 0


def gate_mass(logits_BT: Tensor, weighting: Weighting) -> tuple[Tensor, Tensor]:
    """Compute what a gate's logits put above and below the line of its weight.

    Args:
        logits_BT: a gate's logits, [B, T].
        weighting: how logits become weights.

    Returns:
        The numerator, and what the gate adds to the denominator; both [B, T].
    """
    excess_BT = torch.expm1(logits_BT.clamp(max=LARGEST_LOGIT))
    if weighting == "softmax":
        return excess_BT + 1, excess_BT
    mass_BT = excess_BT - excess_BT.detach().clamp(max=0)
    return mass_BT, mass_BT


def total_mass(excesses: Sequence[Tensor], start: float) -> Tensor:
    """Compute the denominator of all weights.

    The sum is taken gate by gate, so that a gate that adds 0 changes no bit of it.

    Args:
        excesses: what each gate adds, in order of growth, at least one, each [B, T].
        start: the denominator without any: 1, or N for ``softmax``.

    Returns:
        The sums, [B, T].
    """
    total_BT = torch.full_like(excesses[0], start)
    for excess_BT in excesses:
        total_BT = total_BT + excess_BT
    return total_BT


def is_among_largest(masses: Sequence[Tensor], gate: int, count: int) -> Tensor:
    """Find where a gate's mass is one of the largest; of equal ones the older counts as larger.

    Args:
        masses: each gate's numerators, [B, T].
        gate: which gate.
        count: how many are the largest ones.

    Returns:
        Bool[B, T].
    """
    own_BT = masses[gate]
    ahead_BT = torch.zeros_like(own_BT, dtype=torch.long)
    for index, other_BT in enumerate(masses):
        if index != gate:
            ahead_BT += (other_BT >= own_BT) if index < gate else (other_BT > own_BT)
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
    excess: Tensor
    top_k: int | None
    training: bool


class Mixture:
    """The mixture of one pass: what the gates have noted, and what follows from it.

    All active modules' gates, in order of growth, make their notes before the first expert asks for its share. What is
    here outlives the pass, so that what is recomputed in a backward pass finds it.

    Args:
        context: what the sites of the model share.
        spec: which mixture it is.
    """

    def __init__(self, context: ForwardContext, spec: MixtureSpec) -> None:
        self._context = context
        self._spec = spec
        self._notes: dict[str, _Note] = {}
        self._total = torch.ones(())
        self._tokens: dict[str, Tensor | None] | None = None

    def note(self, name: str, logits_BT: Tensor, top_k: int | None, training: bool) -> None:
        """Note the logits of a module's gate.

        Args:
            name: the module.
            logits_BT: its logits, [B, T].
            top_k: run its experts only for tokens where its weight is among the ``top_k`` largest, and it is
                preferred to the bare base; None: wherever it has any.
            training: whether the module is being trained, which takes the mixture of all experts.

        Raises:
            GrowlmError: if a softmax has no room for another expert.
        """
        modules = self._context.path.modules
        earlier = modules[: modules.index(name)]  # theirs are of this pass, all others of former ones
        self._notes = {other: note for other, note in self._notes.items() if other in earlier}
        softmax = self._spec.weighting == "softmax"
        if softmax and len(self._notes) + 1 >= self._spec.num_experts:
            raise GrowlmError(
                f"module {name!r} is expert {len(self._notes) + 1} of a router with room for "
                f"{self._spec.num_experts - 1} and the bare base: activate fewer, or grow with a larger num_experts"
            )
        mass_BT, excess_BT = gate_mass(logits_BT, self._spec.weighting)
        rows_B = self._context.path.rows.get(name)
        if rows_B is not None:
            mass_BT, excess_BT = (torch.where(rows_B[:, None], values, 0.0) for values in (mass_BT, excess_BT))
        self._notes[name] = _Note(logits_BT, mass_BT, excess_BT, top_k, training)
        start = self._spec.num_experts if softmax else 1
        self._total = total_mass([note.excess for note in self._notes.values()], start)
        self._tokens = None

    def logits(self, name: str) -> Tensor:
        """Return the logits of a module's gate in the last pass, [B, T]."""
        return self._notes[name].logits

    def share(self, name: str) -> Share:
        """Compute what a module's experts get in the pass that is going on."""
        if self._tokens is None:
            self._tokens = self._choose()
        return Share(self._notes[name].mass / self._total, self._tokens[name])

    @torch.no_grad()
    def _choose(self) -> dict[str, Tensor | None]:
        """Choose the tokens for which each module's experts are run; None: all."""
        masses = [note.mass for note in self._notes.values()]
        training = any(note.training for note in self._notes.values())
        chosen: dict[str, Tensor | None] = {}
        for gate, (name, note) in enumerate(self._notes.items()):
            chosen[name] = None
            if note.top_k is not None and not training:
                kept_BT = is_among_largest(masses, gate, note.top_k) & (note.excess > 0)
                chosen[name] = kept_BT.flatten().nonzero().flatten()
            elif not self._total.requires_grad and not bool(note.mass.any()):  # a closed one that learns is run
                chosen[name] = torch.zeros(0, dtype=torch.long, device=note.mass.device)
        return chosen
