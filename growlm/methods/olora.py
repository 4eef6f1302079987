"""O-LoRA: a new low-rank change for every skill, in directions orthogonal to those of the earlier ones.

O-LoRA is Wang et al. 2023 (arXiv 2310.14152), not OLoRA, an initialisation: all earlier changes are frozen and active,

    loss = task + λ1 Σ_sites Σ_old Σ_ij |A_old A_newᵀ|_ij + λ2 Σ_sites (‖A_new‖ + ‖B_new‖).

The paper holds the factor orthogonal whose columns span the subspace of a skill's gradients, and squares the entries;
the authors' code (issue 39 of cmnfriend/O-LoRA) takes the factor that reads the input, ``A`` here, sums the entries'
absolute values, and adds the norms. Their numbers are the code's, so this is what the code does: with all rows of A_new
orthogonal to all of A_old, two skills' changes read different directions of the same input. The sums run over all
entries and sites as in the code, so that λ1 means what it means there; a larger base or rank has more entries. The code
concatenates the earlier changes into one; here each stays a module of its own, and the sum is the same. The penalty is
computed in fp32 whatever the precision of the rest, lest it round to 0 (their issue 41 sees it logged as 0.0).

Cost per step: that of ``lora_incremental`` and, for every site, one product of [R, I] with all earlier A.
Proved by tests/golden/test_olora.py and tests/contracts/test_every_method.py.

Shapes: R rank, S ranks of all earlier changes of a site together, I input dim.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from growlm.data.batches import Batch, StepBatches
from growlm.errors import check_at_least
from growlm.methods.method import Method
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds
from growlm.skills.skill import Skill

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


def overlap(new_RI: Tensor, old_SI: Tensor) -> Tensor:
    """Compute Σ |A_old A_newᵀ|, the sum of the entries' absolute values: 0 if and only if all rows are orthogonal.

    Args:
        new_RI: A of the new change, [R, I].
        old_SI: A of the earlier changes of the same site, one under the other, [S, I].

    Returns:
        The sum, a scalar.
    """
    return (old_SI @ new_RI.T).abs().sum()


class Olora(Method):
    """Adds a new low-rank change for every skill, orthogonal to the earlier ones.

    Args:
        rank: rank of each change.
        strength: λ1, how strongly the new change is kept orthogonal; with 0 it is incremental LoRA.
        norm_strength: λ2, how strongly the new change's factors are kept small.
        target_modules: names of the linears, such as q_proj; None: all linears of the layers.
    """

    encoder_decoder = True

    def __init__(
        self,
        rank: int = 8,
        strength: float = 0.5,
        norm_strength: float = 0.0,
        target_modules: list[str] | None = None,
    ) -> None:
        for option, value in (("strength", strength), ("norm_strength", norm_strength)):
            check_at_least(f"olora {option}", value, 0)
        self.rank = rank
        self.strength = strength
        self.norm_strength = norm_strength
        self.target_modules = target_modules
        self._factors: list[Tensor] = []
        self._pairs: list[tuple[Tensor, list[Tensor]]] = []

    def build(self, stack: "ModuleStack", skill: Skill) -> dict[str, ModuleKind]:
        """Build a low-rank change; see ``Method.build``."""
        return {"lora": module_kinds.build("lora", {"rank": self.rank, "target_modules": self.target_modules})}

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Find the earlier changes on the path that share a site with the new one."""
        new = stack.module_parameters(name)
        earlier = [stack.module_parameters(parent) for parent in stack.parents()[name]]
        self._factors = list(new.values())
        self._pairs = [
            (factor, [old[key] for old in earlier if key in old])
            for key, factor in new.items()
            if key.endswith(".A") and any(key in old for old in earlier)
        ]

    def loss(self, stack: "ModuleStack", batch: Batch) -> Tensor:
        """Add both penalties to the loss of plain training; see ``Method.loss``."""
        loss = super().loss(stack, batch)
        with torch.autocast(loss.device.type, enabled=False):
            if self.strength > 0 and self._pairs:
                loss = loss + self.strength * sum(overlap(new, torch.cat(old).float()) for new, old in self._pairs)
            if self.norm_strength > 0:
                loss = loss + self.norm_strength * sum(factor.norm() for factor in self._factors)
        return loss
