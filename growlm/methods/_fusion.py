"""Fusing what a phase changed with what was there before, unit by unit or element by element.

The static weights are TaSL's (arXiv 2408.09857), the softmax KIF's (arXiv 2408.05200), the masks of task vectors
Recurrent-KIF's (arXiv 2502.17510). ``FusedMethod`` is what TaSL and KIF share: importance is gathered in a phase, at
whose end the new values are fused with the earlier ones.

Decisions that the papers leave open, for both: the first phase is not fused; of equal scores none is important; a unit
that never had a gradient has importance 0. The phase's values and the earlier ones are of the same factors A and B, so
that fusing is a mean of factors, not of their products, as in the authors' code.

Proved by tests/golden/test_kif.py and tests/golden/test_recurrent_kif.py.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from growlm.data.batches import StepBatches
from growlm.errors import GrowlmError, check_positive
from growlm.methods.importance.running import Importance
from growlm.methods.importance.units import (
    ACCUMULATED,
    OF_PHASE,
    Units,
    accumulated,
    important,
    normalised,
    spread,
    unit_scores,
)
from growlm.methods.method import VersionedMethod

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

Fusion = Literal["static", "softmax", "average", "none"]


def static_share(earlier: Tensor, new: Tensor, both: float = 0.3, neither: float = 0.5) -> Tensor:
    """Decide by which units are important what share of a unit comes from the new values.

    Args:
        earlier: whether each unit is important to the earlier skills, bool.
        new: whether it is to the new one, bool, of the same shape.
        both: the new values' share where it is important to both.
        neither: their share where it is to neither.

    Returns:
        The share of the new values: 1 where only the new skill needs the unit, 0 where only earlier ones do.
    """
    shares = torch.full_like(earlier, neither, dtype=torch.float32)
    shares[new & ~earlier], shares[earlier & ~new], shares[earlier & new] = 1.0, 0.0, both
    return shares


def softmax_share(earlier: Tensor, new: Tensor, temperature: float = 0.25) -> Tensor:
    """Decide by how important units are what share of a unit comes from the new values.

    Args:
        earlier: importance of each unit to the earlier skills, normalised.
        new: its importance to the new one, of the same shape.
        temperature: τ; the smaller, the closer to the one or the other.

    Returns:
        The new values' share, the second entry of softmax([earlier, new] / τ).
    """
    return torch.sigmoid((new - earlier) / temperature)


def fused(earlier: Tensor, new: Tensor, share: Tensor) -> Tensor:
    """Mix the values of before with the new ones; with a share of 0 or 1 the one or the other, bit for bit.

    Args:
        earlier: values before the phase.
        new: values after it, of the same shape.
        share: the new values' share, of a shape that broadcasts to theirs.
    """
    return torch.lerp(earlier, new, share.to(new.dtype).expand_as(new))


def fused_round(start: Tensor, inner: Tensor, outer: Tensor, inner_weight: Tensor, outer_weight: Tensor) -> Tensor:
    """Add what two loops changed to the values that they began with: θ + m_in τ_in + m_out τ_out.

    Args:
        start: θ, values before the inner loop.
        inner: values after it; τ_in is their difference to θ.
        outer: values after the outer loop, which went on from there; τ_out is their difference to ``inner``.
        inner_weight: m_in, of the same shape, or one number for all.
        outer_weight: m_out, likewise.
    """
    return start + inner_weight * (inner - start) + outer_weight * (outer - inner)


def mask_weights(inner: Tensor, outer: Tensor, both: float = 0.4, neither: float = 0.5) -> tuple[Tensor, Tensor]:
    """Decide by which elements are important how much of each loop's change is kept.

    Args:
        inner: whether each element is important to the new skill, bool.
        outer: whether it is to the earlier ones, bool, of the same shape.
        both: the share of the inner change where it is important to both; the outer change has the rest.
        neither: the share of the inner change where it is to neither; likewise.

    Returns:
        The weights of the inner and the outer change, which add up to 1.
    """
    inner_weight = static_share(outer, inner, both, neither)
    return inner_weight, 1 - inner_weight


def check_shares(method: str, options: Mapping[str, Any]) -> None:
    """Refuse shares that are none.

    Args:
        method: the method's name, for the message.
        options: options of all sorts; those are shares that are named so, and the weights of running means.

    Raises:
        GrowlmError: naming the first that is not between 0 and 1.
    """
    for name, value in options.items():
        if (name.endswith("_share") or name in ("beta1", "beta2", "accumulate")) and not 0 <= value <= 1:
            raise GrowlmError(f"{method} {name} {value} is not between 0 and 1")


class FusedMethod(VersionedMethod):
    """Continues training the same weights, and at the end of each phase fuses the new values with the earlier ones.

    Args:
        fusion: how the units are fused: ``static``: by which of them are important; ``softmax``: by how important they
            are; ``average``: the same mean everywhere; ``none``: the phase's values stay.
        order: the measure of importance: the change of the loss without an element, to the ``first`` order, of the
            ``second`` alone, or of both (``mixed``); or any other file of growlm/methods/importance.
        important_share: which share of the units is important (static).
        both_share: share of the new values where a unit is important to earlier skills and the new one (static).
        neither_share: share of the new values where it is to neither (static).
        temperature: τ; the smaller, the closer to the one or the other (softmax).
        average_share: share of the new values everywhere (average).
        accumulate: weight of a skill's own importance when it joins that of the earlier ones.
        beta1: smoothing of the sensitivity over the steps.
        beta2: smoothing of its uncertainty.

    Attributes:
        units: what is fused as one: every tensor, or every rank of a low-rank change.
    """

    units: Units

    def __init__(
        self,
        fusion: Fusion = "static",
        order: str = "first",
        important_share: float = 0.2,
        both_share: float = 0.3,
        neither_share: float = 0.5,
        temperature: float = 0.25,
        average_share: float = 0.5,
        accumulate: float = 0.3,
        beta1: float = 0.85,
        beta2: float = 0.85,
    ) -> None:
        method = type(self).__module__.rpartition(".")[2]
        check_shares(
            method,
            {
                "important_share": important_share,
                "both_share": both_share,
                "neither_share": neither_share,
                "average_share": average_share,
                "accumulate": accumulate,
                "beta1": beta1,
                "beta2": beta2,
            },
        )
        check_positive(f"{method} temperature", temperature)
        self.fusion = fusion
        self.important_share = important_share
        self.both_share = both_share
        self.neither_share = neither_share
        self.temperature = temperature
        self.average_share = average_share
        self.accumulate = accumulate
        self._importance = Importance(beta1, beta2, order)
        self._trained: dict[str, Tensor] = {}
        self._frozen: dict[str, Tensor] = {}
        self._earlier: dict[str, Tensor] = {}
        self._earlier_importance: dict[str, Tensor] = {}

    @abstractmethod
    def frozen_weights(self, stack: "ModuleStack") -> dict[str, Tensor]:
        """Return what a trained tensor is added to: by its name, the weight of the base.

        A low-rank factor is added to nothing; a difference is, and the weight whose importance counts is the sum.
        """

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Read the values and the importance that the earlier phases left, if there were any."""
        self._trained = dict(stack.module_parameters(name))
        self._frozen = self.frozen_weights(stack)
        last = self.continues(stack)
        if last is not None:
            self._earlier = stack.module_tensors(last)
            self._earlier_importance = kept_importance(stack, last, unit_scores(zeros_like(self._trained), self.units))

    @torch.no_grad()
    def after_backward(self) -> None:
        """Add the step's gradients to the importance of every element."""
        for name, parameter in self._trained.items():
            if parameter.grad is not None:
                weight: Tensor = parameter
                if name in self._frozen:
                    # the phase may have moved the weights to another device since it began
                    self._frozen[name] = self._frozen[name].to(parameter.device)
                    weight = parameter + self._frozen[name]
                self._importance.see(name, weight, parameter.grad)

    @torch.no_grad()
    def end(self, stack: "ModuleStack", batches: StepBatches) -> dict[str, Tensor]:
        """Fuse the phase's values with the earlier ones, and keep the importance."""
        own = normalised(unit_scores(self._importance.elements(self._trained), self.units))
        every = own
        if self._earlier:
            if self.fusion != "none":
                self._fuse(self._shares(own))
            every = accumulated(self._earlier_importance, own, self.accumulate)
        return kept_tensors(every, own)

    def _shares(self, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Decide what share of each unit comes from the new values."""
        earlier = self._earlier_importance
        if self.fusion == "average":
            return {unit: torch.full_like(scores, self.average_share) for unit, scores in own.items()}
        if self.fusion == "softmax":
            return {unit: softmax_share(earlier[unit], scores, self.temperature) for unit, scores in own.items()}
        old, new = (important(scores, self.important_share) for scores in (earlier, own))
        return {unit: static_share(old[unit], new[unit], self.both_share, self.neither_share) for unit in own}

    def _fuse(self, shares: Mapping[str, Tensor]) -> None:
        for name, parameter in self._trained.items():
            share = spread(shares, name, self.units).to(parameter.device)
            parameter.copy_(fused(self._earlier[name].to(parameter), parameter, share))

    def state_dict(self) -> dict[str, Any]:
        """Return the importance so far."""
        return self._importance.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._importance.load_state_dict(state)


def zeros_like(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return zeros of the same shapes."""
    return {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}


def kept_tensors(every: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what is kept with a module.

    Args:
        every: importance of each unit to all skills so far.
        own: its importance to the phase's skill alone.
    """
    # after the first phase both are the same tensors, which a file cannot hold twice
    return {ACCUMULATED + unit: scores.clone() for unit, scores in every.items()} | {
        OF_PHASE + unit: scores for unit, scores in own.items()
    }


def kept_importance(stack: "ModuleStack", module: str, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read the accumulated importance that a module keeps.

    Args:
        stack: the stack.
        module: the module's name.
        like: the units by name, for their shapes.

    Returns:
        The importance of each unit, fp32, on the CPU.

    Raises:
        GrowlmError: if the module keeps none that fits.
    """
    kept = stack.method_tensors(module)
    for unit, scores in like.items():
        found = kept.get(ACCUMULATED + unit)
        if found is None or found.shape != scores.shape:
            raise GrowlmError(
                f"module {module!r} keeps no importance of {unit!r} that fits: go on with the units that it was grown "
                "with, or undo it and grow it again"
            )
    return {unit: kept[ACCUMULATED + unit].float() for unit in like}
