"""Learning without forgetting: full fine-tuning that keeps saying of the new data what the version before said.

Li and Hoiem 2017 (arXiv 1606.09282), eqs. 1 and 2: loss = task + λ Σ H(p_old^(1/τ), p_new^(1/τ)) on the new examples.
Here p are the distributions of the next token at the trained tokens, p_old those of the module that the new one
supersedes; the first phase is plain fine-tuning, as there is no version before, or is taught by the bare base if asked
to be. The cross-entropy is replaced by the Kullback-Leibler divergence, whose gradient is the same and which is 0
when nothing was forgotten, times τ², so that λ means the same at every temperature (Hinton et al. 2015,
arXiv 1503.02531). The authors begin a phase by training the new head alone; a language model has no head per skill.

Cost per step: that of ``sequential``, one forward pass more, and a second set of logits for the trained tokens.
Proved by tests/golden/test_lwf.py and tests/contracts/test_every_method.py.

Shapes: N trained tokens, V vocabulary.
"""

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from growlm.data.batches import Batch, StepBatches
from growlm.errors import check_at_least, check_positive
from growlm.manifest.path import Path
from growlm.methods.method import VersionedMethod
from growlm.metrics.divergence import divergence
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds
from growlm.stack.loss import trained_logits

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


def distillation_loss(student_NV: Tensor, teacher_NV: Tensor, temperature: float) -> Tensor:
    """Compute τ² KL(teacher ‖ student) at a temperature, the mean over the tokens.

    Args:
        student_NV: logits of the model that learns, [N, V].
        teacher_NV: logits of the one that it is to agree with, [N, V].
        temperature: τ, what both logits are divided by.

    Returns:
        The loss in nats, a scalar.
    """
    return temperature**2 * divergence(teacher_NV / temperature, student_NV / temperature).mean()


class Lwf(VersionedMethod):
    """Continues fine-tuning the same weights, taught by the version before to go on saying what it said.

    Args:
        weight: λ, how much the version before counts beside the task; 0 is sequential fine-tuning.
        temperature: τ, by which both versions' logits are divided.
        from_base: let the bare base teach the first phase.
        weights: ``all`` weights of the base, or the ``linears`` of its layers only.
    """

    encoder_decoder = True

    def __init__(
        self,
        weight: float = 1.0,
        temperature: float = 2.0,
        from_base: bool = False,
        weights: Literal["all", "linears"] = "all",
    ) -> None:
        check_at_least("lwf weight", weight, 0)
        check_positive("lwf temperature", temperature)
        self.weight = weight
        self.temperature = temperature
        self.from_base = from_base
        self.weights = weights
        self._teacher: Path | None = None
        self._rows = 0

    @property
    def extra_forward_rows(self) -> int:
        """How many rows the version before was run on."""
        return self._rows

    def kinds(self) -> dict[str, ModuleKind]:
        """Return a full difference of the chosen weights."""
        return {"dense": module_kinds.build("dense", {"weights": self.weights})}

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Find the version before."""
        last = self.continues(stack)
        if last is not None:
            self._teacher = stack.path_of(last)
        elif self.from_base:
            self._teacher = stack.parents()[name]

    def loss(self, stack: "ModuleStack", batch: Batch) -> Tensor:
        """Add the distance from the version before to the loss of plain training; see ``Method.loss``."""
        if self._teacher is None or self.weight == 0:
            return super().loss(stack, batch)
        self._rows += len(batch.input_ids)
        student_NV, targets_N = trained_logits(stack, batch)
        with torch.no_grad(), stack.active(*self._teacher):
            teacher_NV, _ = trained_logits(stack, batch)
        task = nn.functional.cross_entropy(student_NV, targets_N)
        return task + self.weight * distillation_loss(student_NV, teacher_NV, self.temperature)

    def state_dict(self) -> dict[str, int]:
        """Return what was counted."""
        return {"extra_forward_rows": self._rows}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore what ``state_dict`` returned."""
        self._rows = state.get("extra_forward_rows", 0)
