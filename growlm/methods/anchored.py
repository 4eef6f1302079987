"""Anchored losses: fine-tuning on the new skill that stays near the base on the new skill's own inputs.

How much is forgotten follows KL(base ‖ model) on the new inputs (Shenfeld et al. 2025, arXiv 2509.04259), and the base
is always at hand: it is the same network with the module off. With p₀ its distribution of the next token, p the
model's, y the right token, all means over the trained tokens:

    kl:    -log p(y) + β KL(p₀ ‖ p)
    tmkl:  -log p(y) + β KL(p₀' ‖ p')               p' is p without y, made to sum to 1 again (arXiv 2605.29498)
    asft:  stop(p(y)) (-log p(y)) + β KL(p₀ ‖ p)     (arXiv 2509.23753)
    eaft:  stop(H₂₀(p) / ln 20) (-log p(y))          H₂₀ is the entropy of the 20 likeliest tokens (arXiv 2601.02151)

``tmkl`` does not hold back the right token itself. ``asft`` weighs a token by how likely it is already, and so hardly
learns what the base finds impossible. ``eaft`` learns where the model is undecided and has no anchor term. β 0.1 is
ASFT's; TMKL's was not found, and is to be tuned. H₂₀ is that of the 20 probabilities made to sum to 1, so
that the weight is from 0 to 1; one trainer leaves out ln 20, which makes the loss three times as large.

Each phase continues the last one's module; the anchor stays what the first was grown on.

Cost per step: that of the trained kind, and for all but ``eaft`` one forward pass more and a second set of logits for
the trained tokens. Nothing is kept. Proved by tests/golden/test_anchored.py and tests/contracts/test_every_method.py.

Shapes: N trained tokens, V vocabulary.
"""

import math
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from growlm.data.batches import Batch, StepBatches
from growlm.errors import check_at_least
from growlm.manifest.path import Path
from growlm.methods.method import LoraOrDense
from growlm.metrics.divergence import divergence
from growlm.stack.loss import trained_logits

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

Anchor = Literal["kl", "tmkl", "asft", "eaft"]

_MOST_LIKELY = 20


def divergence_without_target(base_NV: Tensor, logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    """Compute KL(p₀' ‖ p') of every token in nats, [N]: that of the distributions without the right token.

    Args:
        base_NV: logits of p₀, [N, V].
        logits_NV: logits of p, [N, V].
        targets_N: the right tokens, [N].
    """
    is_target_NV = nn.functional.one_hot(targets_N, logits_NV.shape[-1]).bool()
    return divergence(base_NV.masked_fill(is_target_NV, -math.inf), logits_NV.masked_fill(is_target_NV, -math.inf))


def top_entropy_share(logits_NV: Tensor, count: int = _MOST_LIKELY) -> Tensor:
    """Compute the entropy of the likeliest tokens as a share of the greatest it could be, [N].

    Args:
        logits_NV: logits, [N, V].
        count: how many tokens; all if there are fewer.
    """
    top_NK = logits_NV.topk(min(count, logits_NV.shape[-1]), -1).values.log_softmax(-1)
    return -(top_NK.exp() * top_NK).sum(-1) / math.log(top_NK.shape[-1])


class Anchored(LoraOrDense):
    """Continues training the same module, held near the base on the new skill's own inputs.

    Args:
        anchor: the loss: ``kl``, ``tmkl``, ``asft`` or ``eaft``.
        beta: β, how much the distance from the base counts; not used by ``eaft``.
        weights: ``weights``, ``rank`` and ``target_modules``: the options of ``LoraOrDense``.
    """

    encoder_decoder = True

    def __init__(
        self,
        anchor: Anchor = "tmkl",
        beta: float = 0.1,
        **weights: Any,
    ) -> None:
        super().__init__(**weights)
        check_at_least("anchored beta", beta, 0)
        self.anchor: Anchor = anchor
        self.beta = beta
        self._base: Path = ()
        self._rows = 0

    @property
    def extra_forward_rows(self) -> int:
        """How many rows the base was run on."""
        return self._rows

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Note the path without the module."""
        self._base = stack.parents()[name]

    def loss(self, stack: "ModuleStack", batch: Batch) -> Tensor:
        """Compute the anchored loss; see ``Method.loss``."""
        logits_NV, targets_N = trained_logits(stack, batch)
        task_N = nn.functional.cross_entropy(logits_NV, targets_N, reduction="none")
        if self.anchor == "eaft":
            return (top_entropy_share(logits_NV.detach()) * task_N).mean()
        if self.anchor == "asft":
            task_N = (-task_N).exp().detach() * task_N
        if self.beta == 0:
            return task_N.mean()
        self._rows += len(batch.input_ids)
        with torch.no_grad(), stack.active(*self._base):
            base_NV, _ = trained_logits(stack, batch)
        if self.anchor == "tmkl":
            distance_N = divergence_without_target(base_NV, logits_NV, targets_N)
        else:
            distance_N = divergence(base_NV, logits_NV)
        return (task_N + self.beta * distance_N).mean()

    def state_dict(self) -> dict[str, int]:
        """Return what was counted."""
        return {"extra_forward_rows": self._rows}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore what ``state_dict`` returned."""
        self._rows = state["extra_forward_rows"]
