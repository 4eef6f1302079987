"""TIES: every skill is trained from the base alone, and the changes of all skills are merged by sign.

Yadav et al. 2023, "TIES-Merging" (arXiv 2306.01708), section 3, algorithm 1. With τ_t what phase t changes in full
fine-tuning, and keeping sets of elements over all tensors at once:

    trim:   τ̂_t keeps the ``density`` share of τ_t with the greatest magnitude; the rest is 0
    elect:  s = sgn(Σ_t τ̂_t), for each element
    merge:  τ = λ · mean of the τ̂_t that have sign s (zeros are not counted; 0 where there is none)

so that skills that pull an element in the other direction do not dilute it. λ 1 and density 0.2 are the paper's without
a validation set. The first phase is plain fine-tuning, trimmed.

What differs: the paper merges finished models; here one more arrives with each phase, and the trimmed changes of all
phases are kept to merge them anew, which gives the paper's result for the skills so far. Elements whose magnitude
equals the smallest kept one are kept, too.

Cost per step: that of ``sequential``; at the end of a phase a sort of all elements. Kept: of each phase the trimmed
change, 8 bytes for each of its elements. Proved by tests/golden/test_ties.py and tests/contracts/test_every_method.py.

Shapes: N elements of all trained tensors.
"""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from growlm.data.batches import StepBatches
from growlm.errors import GrowlmError
from growlm.methods.method import VersionedMethod
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_PLACES, _VALUES = "places/", "values/"


def trimmed(change_N: Tensor, density: float) -> Tensor:
    """Keep the elements of the greatest magnitude, and set the others to 0, [N].

    Args:
        change_N: a change.
        density: share of the elements that are kept, at least one.
    """
    count = max(1, math.floor(density * change_N.numel()))
    smallest = change_N.abs().topk(count).values[-1]
    return torch.where(change_N.abs() >= smallest, change_N, 0.0)


def merged_by_sign(changes: Sequence[Tensor], scale: float = 1.0) -> Tensor:
    """Merge trimmed changes: the scaled mean of those that have the elected sign, element by element, [N].

    Args:
        changes: the changes, [N] each.
        scale: λ.
    """
    stacked_TN = torch.stack(list(changes))
    agrees_TN = (stacked_TN.sign() == stacked_TN.sum(0).sign()) & (stacked_TN != 0)
    return scale * (stacked_TN * agrees_TN).sum(0) / agrees_TN.sum(0).clamp_min(1)


class Ties(VersionedMethod):
    """Trains every skill from the base alone, and merges the changes of all skills by sign.

    Args:
        density: share of a change's elements that is kept.
        scale: λ, what the merged change is multiplied with.
        weights: ``all`` weights of the base, or the ``linears`` of its layers only.
    """

    encoder_decoder = True

    def __init__(
        self, density: float = 0.2, scale: float = 1.0, weights: Literal["all", "linears"] = "linears"
    ) -> None:
        if not 0 < density <= 1:
            raise GrowlmError(f"ties density {density} is not above 0 and at most 1")
        if not 0 < scale < math.inf:
            raise GrowlmError(f"ties scale {scale} is not a number above 0")
        self.density = density
        self.scale = scale
        self.weights = weights
        self._trained: list[nn.Parameter] = []
        self._earlier: list[tuple[Tensor, Tensor]] = []

    def kinds(self) -> dict[str, ModuleKind]:
        """Return a full difference of the chosen weights."""
        return {"dense": module_kinds.build("dense", {"weights": self.weights})}

    @torch.no_grad()
    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Start from no change, and read the trimmed changes of the earlier phases.

        Raises:
            GrowlmError: if the last version does not keep them.
        """
        self._trained = list(self.parameters(stack, name))
        for parameter in self._trained:
            parameter.zero_()
        last = self.continues(stack)
        if last is not None:
            self._earlier = self._read(stack, last)

    def parameters(self, stack: "ModuleStack", name: str) -> Iterable[nn.Parameter]:
        """Return all of the difference, in one order for all phases."""
        own = stack.module_parameters(name)
        return [own[key] for key in sorted(own)]

    @torch.no_grad()
    def end(self, stack: "ModuleStack", batches: StepBatches) -> dict[str, Tensor]:
        """Merge the phase's trimmed change with those of the earlier phases, and keep it."""
        change_N = torch.cat([parameter.flatten() for parameter in self._trained]).float().cpu()
        own_N = trimmed(change_N, self.density)
        places = own_N.nonzero().flatten().int()
        kept = [*self._earlier, (places, own_N[places.long()])]
        merged_N = merged_by_sign([_spread(*sparse, len(own_N)) for sparse in kept], self.scale)
        for parameter, part in zip(self._trained, merged_N.split([p.numel() for p in self._trained]), strict=True):
            parameter.copy_(part.view_as(parameter))
        return {
            key: tensor
            for phase, (places, values) in enumerate(kept)
            for key, tensor in ((f"{_PLACES}{phase}", places), (f"{_VALUES}{phase}", values))
        }

    def _read(self, stack: "ModuleStack", last: str) -> list[tuple[Tensor, Tensor]]:
        kept = stack.method_tensors(last)
        phases = sum(self._made(record) for record in stack.manifest.modules)
        size = sum(parameter.numel() for parameter in self._trained)
        found: list[tuple[Tensor, Tensor]] = []
        for phase in range(phases):
            places, values = kept.get(f"{_PLACES}{phase}"), kept.get(f"{_VALUES}{phase}")
            if places is None or values is None or places.shape != values.shape or _outside(places, size):
                raise GrowlmError(
                    f"module {last!r} keeps no change of phase {phase + 1} that ties could merge: undo the module and "
                    "grow it again"
                )
            found.append((places, values))
        return found


def _outside(places: Tensor, size: int) -> bool:
    return places.is_floating_point() or bool(((places < 0) | (places >= size)).any())


def _spread(places: Tensor, values: Tensor, size: int) -> Tensor:
    """Write a sparse change as [N]."""
    return torch.zeros(size).scatter_(0, places.long(), values)
