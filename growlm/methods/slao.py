"""SLAO: one low-rank change of constant size, trained from the last skill's and merged with the earlier ones.

After "Merge before Forget: A Single LoRA Continual Learning via Continual Merging" (2025, arXiv 2512.23017). With A_t,
B_t what phase t trains and B̄_t what is kept:

    start:   A_t = Qᵀ with Q R = A_{t-1}ᵀ,         B_t = B_{t-1}
    merge:   A is A_t,                             B̄_t = B̄_{t-1} + (B_t - B̄_{t-1}) / √t

so that each A begins as an orthonormal basis of the last one's row space, and the weight of a new skill falls as 1/√t.
The first phase is plain LoRA. Only the merged change answers; B_t itself is kept for the next phase's start.

Q's columns have the signs that make R's diagonal positive: then an orthonormal A stays what it is.

Cost per step: that of ``lora_sequential``. Kept: B_t, and how many phases there were. Proved by
tests/golden/test_slao.py and tests/contracts/test_every_method.py.

Shapes: R rank, I input dim, O output dim.
"""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from growlm.data.batches import StepBatches
from growlm.errors import GrowlmError
from growlm.methods.method import VersionedMethod
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_TUNED, _COUNT = "tuned/", "phases"


def orthonormal_rows(a_RI: Tensor) -> Tensor:
    """Compute an orthonormal basis of the row space of A, Qᵀ of Aᵀ = Q R with a positive diagonal of R, [R, I]."""
    q_IR, r_RR = torch.linalg.qr(a_RI.double().T)
    return (q_IR * torch.where(r_RR.diagonal() < 0, -1.0, 1.0)).T.to(a_RI.dtype)


def merged(kept: Tensor, tuned: Tensor, phase: int) -> Tensor:
    """Merge a new factor B into the kept one, B̄ + (B - B̄) / √t.

    Args:
        kept: B̄ of the phases before, [O, R].
        tuned: B of this phase, [O, R].
        phase: t, counted from 1.
    """
    return torch.lerp(kept, tuned, 1 / math.sqrt(phase))


class Slao(VersionedMethod):
    """Trains one low-rank change from where the last skill left it, and merges it with the earlier ones.

    Args:
        rank: rank of the change.
        target_modules: names of the linears, such as q_proj; None: all linears of the layers.
    """

    encoder_decoder = True

    def __init__(self, rank: int = 8, target_modules: list[str] | None = None) -> None:
        self.rank = rank
        self.target_modules = target_modules
        self._phase = 1
        self._trained: dict[str, Tensor] = {}
        self._kept: dict[str, Tensor] = {}

    def kinds(self) -> dict[str, ModuleKind]:
        """Return a low-rank change."""
        return {"lora": module_kinds.build("lora", {"rank": self.rank, "target_modules": self.target_modules})}

    @torch.no_grad()
    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Start from orthonormal factors A and the last phase's own factors B.

        Raises:
            GrowlmError: if the last version does not keep its factors B.
        """
        self._trained = dict(stack.module_parameters(name))
        last = self.continues(stack)
        if last is None:
            return
        kept = stack.method_tensors(last)
        self._kept = {key: value for key, value in stack.module_tensors(last).items() if key.endswith(".B")}
        if _COUNT not in kept or any(_TUNED + key not in kept for key in self._kept):
            raise GrowlmError(f"module {last!r} keeps no factors of slao: undo the module and grow it again")
        self._phase = int(kept[_COUNT]) + 1
        for key, parameter in self._trained.items():
            is_b = key.endswith(".B")
            parameter.copy_(kept[_TUNED + key].to(parameter) if is_b else orthonormal_rows(parameter))

    @torch.no_grad()
    def end(self, stack: "ModuleStack", batches: StepBatches) -> dict[str, Tensor]:
        """Merge the phase's factors B into the kept ones, and keep the phase's own."""
        own = {key: value for key, value in self._trained.items() if key.endswith(".B")}
        tuned = {_TUNED + key: value.detach().clone() for key, value in own.items()}
        for key, value in self._kept.items():
            own[key].copy_(merged(value.to(own[key]), own[key], self._phase))
        return tuned | {_COUNT: torch.tensor(self._phase)}
