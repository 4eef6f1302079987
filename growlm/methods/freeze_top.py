"""Training the top layers of the base itself, skill after skill: the control of growing.

Is it the new weights that keep what was known, or just that less is trained? LLaMA Pro (Wu et al. 2024, arXiv
2401.02415) was asked this (github.com/TencentARC/LLaMA-Pro, issue 9). So here nothing is added: the last n layers are
fine-tuned, all else is frozen, and n is chosen so that about as much is trained as ``grow`` adds. As in ``sequential``,
each phase goes on from the last one, and what moves is kept as a difference to the frozen base. Cost per step: forward
through everything, backward through the top n layers, and a second product for each of their linears. Proved by
tests/golden/test_freeze_top.py.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import torch

from growlm.base.architecture import Architecture
from growlm.errors import GrowlmError, check_at_least
from growlm.methods.method import VersionedMethod
from growlm.modules.kind import ModuleKind
from growlm.registry import methods, module_kinds
from growlm.skills.skill import Skill
from growlm.terminal import counted

if TYPE_CHECKING:
    from growlm.manifest.manifest import ModuleRecord
    from growlm.stack.stack import ModuleStack


class FreezeTop(VersionedMethod):
    """Continues fine-tuning the last layers of the base, skill after skill.

    Args:
        num_layers: how many layers; None: as many as come nearest to the number of parameters that ``grow`` adds by
            default, or all of them where it adds more than they have.
    """

    encoder_decoder = True

    def __init__(self, num_layers: int | None = None) -> None:
        self.num_layers = num_layers
        self._layers: list[int] = []
        if num_layers is not None:
            check_at_least("num_layers", num_layers, 1)

    def kinds(self) -> dict[str, ModuleKind]:
        """Return a full difference of the layers that were chosen for the last stack that was looked at."""
        return {"dense": module_kinds.build("dense", {"layers": self._layers})}

    def build(self, stack: "ModuleStack", skill: Skill) -> dict[str, ModuleKind]:
        """Build a full difference of the last layers; see ``Method.build``."""
        self._layers = self._chosen(stack.architecture)
        return super().build(stack, skill)

    def _last_version(self, stack: "ModuleStack") -> "ModuleRecord | None":
        self._layers = self._chosen(stack.architecture)
        return super()._last_version(stack)

    def _chosen(self, architecture: Architecture) -> list[int]:
        if self.num_layers is not None and self.num_layers > architecture.num_layers:
            raise GrowlmError(
                f"num_layers {self.num_layers} is more than the base's {counted(architecture.num_layers, 'layer')}: "
                "give fewer"
            )
        number = self.num_layers or nearest_number(layer_sizes(architecture)[::-1], grown_parameters(architecture))
        return list(range(architecture.num_layers - number, architecture.num_layers))


def layer_sizes(architecture: Architecture) -> list[int]:
    """Count the base's own parameters in each of its layers."""
    return [
        sum(
            parameter.numel()
            for path in architecture.weighted_layers([layer])
            for parameter in architecture.resolve(path).parameters(recurse=False)
        )
        for layer in range(architecture.num_layers)
    ]


def grown_parameters(architecture: Architecture) -> int:
    """Count the parameters of the module that method ``grow`` adds to a base by default."""
    with torch.device("meta"):  # counted, never filled
        kinds = [module_kinds.build(kind, options) for kind, options in methods.build("grow").module.items()]
        parts = [part for kind in kinds for part in kind.build(architecture, 0, None).values()]
    return sum(parameter.numel() for part in parts for parameter in part.parameters())


def nearest_number(sizes: Sequence[int], wanted: int) -> int:
    """Find how many of the first sizes, at least one, sum up to nearest to a number; the fewer of two."""
    sums = list(accumulate(sizes))
    return 1 + min(range(len(sums)), key=lambda index: abs(sums[index] - wanted))
