"""What TaSL and KIF share: importance gathered in a phase, at whose end new values are fused with the earlier ones.

Decisions that the papers leave open, for both: the first phase is not fused; of equal scores none is important; a unit
that never had a gradient has importance 0. The phase's values and the earlier ones are of the same factors A and B, so
that fusing is a mean of factors, not of their products, as in the authors' code.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from growlm.data.batches import StepBatches
from growlm.errors import GrowlmError
from growlm.methods._fusion import fused, softmax_share, static_share
from growlm.methods._importance import (
    ACCUMULATED,
    OF_PHASE,
    Importance,
    Order,
    Units,
    accumulated,
    important,
    normalised,
    spread,
    unit_scores,
)
from growlm.methods._versioned import VersionedMethod

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

Fusion = Literal["static", "softmax", "average", "none"]


@dataclass(frozen=True)
class FusionOptions:
    """How importance is measured and what is made of it.

    Args:
        fusion: ``static``: by which units are important; ``softmax``: by how important they are; ``average``: the same
            mean everywhere; ``none``: the phase's values stay.
        order: how sensitivities are estimated; see ``sensitivity``.
        beta1: smoothing of the sensitivity.
        beta2: smoothing of the uncertainty.
        important_share: which share of the units is important.
        both_share: the new values' share where a unit is important to earlier skills and the new one (``static``).
        neither_share: their share where it is to neither (``static``).
        temperature: τ of ``softmax``.
        average_share: the new values' share everywhere (``average``).
        accumulate: weight of a skill's own importance when it joins that of the earlier ones.
    """

    fusion: Fusion
    order: Order
    beta1: float
    beta2: float
    important_share: float
    both_share: float
    neither_share: float
    temperature: float
    average_share: float
    accumulate: float

    def check(self, method: str) -> None:
        """Refuses options that make no sense.

        Args:
            method: the method's name, for the message.

        Raises:
            GrowlmError: naming the first of them.
        """
        check_shares(method, {field.name: getattr(self, field.name) for field in fields(self)})
        if not self.temperature > 0:
            raise GrowlmError(f"{method} temperature {self.temperature} is too small: give more than 0")


def check_shares(method: str, options: Mapping[str, Any]) -> None:
    """Refuses shares that are none.

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
    """Trains the same weights on and on, and at the end of each phase fuses the new values with the earlier ones.

    Args:
        units: what is fused as one: every tensor, or every rank of a low-rank change.
        options: how importance is measured and what is made of it.
    """

    def __init__(self, units: Units, options: FusionOptions) -> None:
        options.check(type(self).__module__.rpartition(".")[2])
        self.units: Units = units
        self.fusion_options = options
        self._importance = Importance(options.beta1, options.beta2, options.order)
        self._trained: dict[str, Tensor] = {}
        self._frozen: dict[str, Tensor] = {}
        self._earlier: dict[str, Tensor] = {}
        self._earlier_importance: dict[str, Tensor] = {}

    @abstractmethod
    def frozen_weights(self, stack: "ModuleStack") -> dict[str, Tensor]:
        """Gives what a trained tensor is added to: by its name, the weight of the base.

        A low-rank factor is added to nothing; a difference is, and the weight whose importance counts is the sum.
        """

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Reads the values and the importance that the earlier phases left, if there were any."""
        self._trained = dict(stack.module_parameters(name))
        self._frozen = self.frozen_weights(stack)
        last = self.continues(stack)
        if last is not None:
            self._earlier = stack.module_tensors(last)
            self._earlier_importance = kept_importance(stack, last, unit_scores(zeros_like(self._trained), self.units))

    @torch.no_grad()
    def after_backward(self) -> None:
        """Takes the step's gradients into the importance of every element."""
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
        """Fuses the phase's values with the earlier ones, and keeps the importance."""
        own = normalised(unit_scores(self._importance.elements(self._trained), self.units))
        every = own
        if self._earlier:
            if self.fusion_options.fusion != "none":
                self._fuse(self._shares(own))
            every = accumulated(self._earlier_importance, own, self.fusion_options.accumulate)
        return kept_tensors(every, own)

    def _shares(self, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Decides what share of each unit comes from the new values."""
        options, earlier = self.fusion_options, self._earlier_importance
        if options.fusion == "average":
            return {unit: torch.full_like(scores, options.average_share) for unit, scores in own.items()}
        if options.fusion == "softmax":
            return {unit: softmax_share(earlier[unit], scores, options.temperature) for unit, scores in own.items()}
        old, new = (important(scores, options.important_share) for scores in (earlier, own))
        return {unit: static_share(old[unit], new[unit], options.both_share, options.neither_share) for unit in own}

    def _fuse(self, shares: Mapping[str, Tensor]) -> None:
        for name, parameter in self._trained.items():
            share = spread(shares, name, self.units).to(parameter.device)
            parameter.copy_(fused(self._earlier[name].to(parameter), parameter, share))

    def state_dict(self) -> dict[str, Any]:
        """Gives the importance so far."""
        return self._importance.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what ``state_dict`` gave."""
        self._importance.load_state_dict(state)


def zeros_like(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gives zeros of the same shapes."""
    return {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}


def kept_tensors(every: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names what is kept with a module.

    Args:
        every: importance of each unit to all skills so far.
        own: its importance to the phase's skill alone.
    """
    # after the first phase both are the same tensors, which a file cannot hold twice
    return {ACCUMULATED + unit: scores.clone() for unit, scores in every.items()} | {
        OF_PHASE + unit: scores for unit, scores in own.items()
    }


def kept_importance(stack: "ModuleStack", module: str, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Reads the accumulated importance that a module keeps.

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
