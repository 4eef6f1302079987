"""The loss of the trained tokens, without logits for any other, and never with many logits at once."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from growlm.data.batches import IGNORED, Batch
from growlm.stack.recompute import recomputed_activations

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_MOST_LOGITS = 2**22
"""How many logits are there at once: 16 MiB in fp32, those of 512 tokens of a vocabulary of 8,192."""


def trained_token_losses(stack: "ModuleStack", batch: Batch) -> Tensor:
    """Computes the cross-entropy of each trained token of a batch with the active path.

    Logits are by far the largest tensors of a step: those of many tokens are computed piece by piece, and again for the
    backward pass.

    Args:
        stack: the stack.
        batch: the batch.

    Returns:
        Losses in nats, [N] for the batch's N trained tokens, by row and position.
    """
    hidden_ND, targets_N = _trained_hidden(stack, batch)
    path = stack.path

    def losses(hidden_ND: Tensor, targets_N: Tensor) -> Tensor:
        with stack.active(*path, closed=False):  # the backward pass may run when another path is active
            return nn.functional.cross_entropy(stack.logits(hidden_ND).float(), targets_N, reduction="none")

    piece = max(1, _MOST_LOGITS // int(stack.config.get_text_config().vocab_size))
    if len(targets_N) <= piece:
        return losses(hidden_ND, targets_N)
    pieces = zip(hidden_ND.split(piece), targets_N.split(piece), strict=True)
    # nothing in it is random, so there is no random state to keep for the second time
    return torch.cat([checkpoint(losses, *given, use_reentrant=False, preserve_rng_state=False) for given in pieces])


def trained_logits(stack: "ModuleStack", batch: Batch) -> tuple[Tensor, Tensor]:
    """Computes the logits from which each trained token of a batch is told, with the active path.

    Args:
        stack: the stack.
        batch: the batch.

    Returns:
        The logits in fp32, [N, V] for the batch's N trained tokens, by row and position, and these tokens, [N].
    """
    hidden_ND, targets_N = _trained_hidden(stack, batch)
    return stack.logits(hidden_ND).float(), targets_N


def _trained_hidden(stack: "ModuleStack", batch: Batch) -> tuple[Tensor, Tensor]:
    """Computes the final hidden states from which the trained tokens are told, [N, D], and lists these tokens, [N]."""
    with recomputed_activations(stack):
        hidden_BTD = stack.hidden_states(batch.input_ids)
    targets_BT = batch.labels[:, 1:]
    trained_BT = targets_BT != IGNORED
    return hidden_BTD[:, :-1][trained_BT], targets_BT[trained_BT]
