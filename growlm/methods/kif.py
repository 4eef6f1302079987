"""KIF: one low-rank change that every skill trains further; each rank-one part is fused by its importance to skills.

Feng et al., "KIF: Knowledge Identification and Fusion for Language Model Continual Learning" (2025, arXiv 2408.05200
v4). A unit is row r of A with column r of B of one low-rank change. Its importance is measured during a phase (the
formulas are in ``importance/``), min-max normalised over the model, I_t, and accumulated, I_{1:t} = minmax(0.3 I_t +
0.7 I_{1:t-1}). At the end of a phase

    unit = p_1 earlier + p_2 new,    (p_1, p_2) = softmax([I_{1:t-1}, I_t] / τ),    τ = 0.25,

for its row and its column alike; the first phase is kept as it is. While training,

    loss = task + 0.1 · mean over all A and B of ‖A Aᵀ - I‖_F and ‖Bᵀ B - I‖_F,

so that the ranks of a change do not mean the same; the gradients of this loss are those that importance is
measured with. ``order`` ``mixed`` is the paper's |w g - (w g)² / 2|.

After the authors' code (WoodScene/TaSL, ``TasLoRA``, which has no licence; nothing of it is here), as the paper's code
under its own name was not to be had: the constants β1 = β2 = 0.85, 0.3, 0.7, 0.25, 0.1 and the order are its defaults.
Other than there: the mean of the outer product of two factors' scores is computed as the product of their means, which
is the same number; the first step counts as all do; importance stays with the module. The code's variant with replay,
which tunes the fused weights on a memory, is not this method; ``replay`` around it mixes old examples into its batches,
and ``recurrent_kif`` has a memory of its own. ``fusion`` ``static``, ``average`` or ``none`` is the ablation; with
``none`` and ``orthogonality`` 0 it is ``lora_sequential`` bit for bit.

Cost per step: that of ``lora_sequential``, two products of [R, R] per site, and a few operations and two fp32 numbers
per trained element. Kept: one fp32 number per unit, twice.
Proved by tests/golden/test_kif.py and tests/contracts/test_every_method.py.

Shapes: R rank, I input dim, O output dim.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from growlm.data.batches import Batch
from growlm.errors import check_at_least
from growlm.methods._fusion import FusedMethod, Fusion
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


def orthogonality_loss(a_RI: Iterable[Tensor], b_OR: Iterable[Tensor]) -> Tensor:
    """Compute how far ranks are from orthonormal: the mean of ‖A Aᵀ - I‖_F and ‖Bᵀ B - I‖_F, a scalar in fp32.

    Args:
        a_RI: factors A, each [R, I].
        b_OR: factors B, each [O, R].
    """
    grams = [a.float() @ a.float().T for a in a_RI] + [b.float().T @ b.float() for b in b_OR]
    distances = [(gram - torch.eye(len(gram), device=gram.device)).norm() for gram in grams]
    return torch.stack(distances).mean()


class Kif(FusedMethod):
    """Continues training one low-rank change, and fuses its ranks with what they were before each skill.

    Args:
        rank: rank of the change.
        target_modules: names of the linears, such as q_proj; None: all linears of the layers.
        orthogonality: how strongly the ranks of each change are held orthonormal.
        fusion: how the ranks are fused: ``softmax``, ``static``, ``average``, or ``none``.
        order: the measure of importance; see ``FusedMethod``.
        options: how importance is measured and what is made of it; see ``FusedMethod``.
    """

    units = "rank"
    encoder_decoder = True

    def __init__(
        self,
        rank: int = 8,
        target_modules: list[str] | None = None,
        orthogonality: float = 0.1,
        fusion: Fusion = "softmax",
        order: str = "mixed",
        **options: Any,
    ) -> None:
        check_at_least("kif orthogonality", orthogonality, 0)
        super().__init__(fusion=fusion, order=order, **options)
        self.rank = rank
        self.target_modules = target_modules
        self.orthogonality = orthogonality

    def kinds(self) -> dict[str, ModuleKind]:
        """Return a low-rank change."""
        return {"lora": module_kinds.build("lora", {"rank": self.rank, "target_modules": self.target_modules})}

    def frozen_weights(self, stack: "ModuleStack") -> dict[str, Tensor]:
        """Return nothing: the factors themselves are the weights whose importance counts."""
        return {}

    def loss(self, stack: "ModuleStack", batch: Batch) -> Tensor:
        """Add the distance from orthonormal ranks to the loss of plain training; see ``Method.loss``."""
        loss = super().loss(stack, batch)
        if self.orthogonality == 0:
            return loss
        with torch.autocast(loss.device.type, enabled=False):
            factors = self._trained.items()
            distance = orthogonality_loss(
                (factor for name, factor in factors if name.endswith(".A")),
                (factor for name, factor in factors if name.endswith(".B")),
            )
            return loss + self.orthogonality * distance
