"""Elastic weight consolidation: full fine-tuning, held back where the weights matter to what was learned before.

Kirkpatrick et al. 2017 (arXiv 1612.00796), eq. 3, in the online form of Schwarz et al. 2018 (arXiv 1805.06370):

    loss(θ) = task(θ) + λ/2 Σ F (θ - θ*)²,    after every phase F becomes decay · F + F_new.

θ* are the weights after the phase before, so that there is one anchor and one F however many phases there were: with
the sum of all F about the newest weights no phase is counted twice (Huszár 2018, arXiv 1712.03847). F_new is the
diagonal of the empirical Fisher information: the mean, over examples of the phase, of the squared gradient of an
example's whole loss, the negative log-likelihood of its trained tokens together. Squares of batch gradients, which
much code takes because they are free, are another quantity: in them the gradients of different examples cancel.
To be cheap all the same, F_new looks at ``num_samples`` examples only, drawn at random from the phase's, one at a time.
It is not normalised, as Schwarz et al. do: a phase whose examples say more counts more. There is no Fisher information
for the base itself, whose data no phase has: the first phase is plain fine-tuning.

Cost per step: that of ``sequential`` and a few operations per weight; at the end of a phase ``num_samples`` forward and
backward passes of one example. Kept: one fp32 number per weight.
Proved by tests/golden/test_ewc.py and tests/contracts/test_every_method.py.
"""

import random
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from growlm.data.batches import Batch, StepBatches, collate
from growlm.errors import GrowlmError, check_at_least
from growlm.methods.method import VersionedMethod
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds
from growlm.stack.loss import trained_token_losses

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_FISHER = "fisher/"


def empirical_fisher(losses: Iterable[Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Average the squared gradients of single examples.

    Args:
        losses: the loss of each example, a scalar; best made one by one, so that one graph is held at a time.
        weights: the weights by name.

    Returns:
        For each of the weights, the diagonal of the empirical Fisher information, fp32.
    """
    sums = {key: torch.zeros_like(weight, dtype=torch.float32) for key, weight in weights.items()}
    count = 0
    for loss in losses:
        gradients = torch.autograd.grad(loss, list(weights.values()))
        for total, gradient in zip(sums.values(), gradients, strict=True):
            total += gradient.float().square()
        count += 1
    return {key: total / count for key, total in sums.items()}


def quadratic_penalty(
    weights: Mapping[str, Tensor], anchors: Mapping[str, Tensor], fisher: Mapping[str, Tensor]
) -> Tensor:
    """Compute 1/2 Σ F (θ - θ*)² over all weights, a scalar.

    Args:
        weights: θ by name.
        anchors: θ*, of the same names and shapes.
        fisher: F, of the same names and shapes.
    """
    terms = [(fisher[key] * (weight - anchors[key]).square()).sum() for key, weight in weights.items()]
    return torch.stack(terms).sum() / 2


class Ewc(VersionedMethod):
    """Continues fine-tuning the same weights, each held back by how much it mattered before.

    Args:
        strength: λ, how strongly the weights are held back; 0 is sequential fine-tuning.
        decay: what the Fisher information of earlier phases is multiplied by at the end of each.
        num_samples: of how many examples the Fisher information of a phase is the mean.
        weights: ``all`` weights of the base, or the ``linears`` of its layers only.
    """

    encoder_decoder = True

    def __init__(
        self,
        strength: float = 10.0,
        decay: float = 1.0,
        num_samples: int = 200,
        weights: Literal["all", "linears"] = "all",
    ) -> None:
        check_at_least("ewc strength", strength, 0)
        if not 0 <= decay <= 1:
            raise GrowlmError(f"ewc decay {decay} is not between 0 and 1")
        check_at_least("ewc num_samples", num_samples, 1)
        self.strength = strength
        self.decay = decay
        self.num_samples = num_samples
        self.weights = weights
        self._weights: dict[str, Tensor] = {}
        self._anchors: dict[str, Tensor] = {}
        self._fisher: dict[str, Tensor] = {}

    def kinds(self) -> dict[str, ModuleKind]:
        """Return a full difference of the chosen weights."""
        return {"dense": module_kinds.build("dense", {"weights": self.weights})}

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Read the Fisher information that the earlier phases left, if there were any."""
        self._weights = dict(stack.module_parameters(name))
        last = self.continues(stack)
        if last is not None:
            self._anchors = dict(stack.module_parameters(last))
            self._fisher = self._kept_fisher(stack, last)

    def loss(self, stack: "ModuleStack", batch: Batch) -> Tensor:
        """Add the penalty to the loss of plain training; see ``Method.loss``."""
        task = super().loss(stack, batch)
        if not self._fisher or self.strength == 0:
            return task
        for key, weight in self._weights.items():  # the phase may have moved them to another device since it began
            self._fisher[key] = self._fisher[key].to(weight.device)
        return task + self.strength * quadratic_penalty(self._weights, self._anchors, self._fisher)

    def end(self, stack: "ModuleStack", batches: StepBatches) -> dict[str, Tensor]:
        """Measure the phase's Fisher information and add it to that of the earlier ones."""
        examples = list(batches.examples)
        random.Random(f"ewc/{batches.seed}").shuffle(examples)
        losses = (
            trained_token_losses(stack, collate([example], batches.pad_id).to(stack.device)).sum()
            for example in examples[: self.num_samples]
        )
        fisher = empirical_fisher(losses, self._weights)
        for key, old in self._fisher.items():
            fisher[key] += self.decay * old.to(fisher[key].device)
        return {_FISHER + key: value for key, value in fisher.items()}

    def _kept_fisher(self, stack: "ModuleStack", last: str) -> dict[str, Tensor]:
        kept = stack.method_tensors(last)
        for key, weight in self._weights.items():
            if _FISHER + key not in kept or kept[_FISHER + key].shape != weight.shape:
                raise GrowlmError(
                    f"module {last!r} keeps no Fisher information of {key!r} that fits: undo the module and grow it "
                    "again"
                )
        return {key: kept[_FISHER + key].float() for key in self._weights}
