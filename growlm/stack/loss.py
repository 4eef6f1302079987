"""The loss of the trained tokens, without logits for any other."""

from typing import TYPE_CHECKING

from torch import Tensor, nn

from growlm.data.batches import IGNORED, Batch

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


def trained_token_losses(stack: "ModuleStack", batch: Batch) -> Tensor:
    """Computes the cross-entropy of each trained token of a batch with the active path.

    Args:
        stack: the stack.
        batch: the batch.

    Returns:
        Losses in nats, [N] for the batch's N trained tokens, by row and position.
    """
    logits_NV, targets_N = trained_logits(stack, batch)
    return nn.functional.cross_entropy(logits_NV, targets_N, reduction="none")


def trained_logits(stack: "ModuleStack", batch: Batch) -> tuple[Tensor, Tensor]:
    """Computes the logits from which each trained token of a batch is told, with the active path.

    Args:
        stack: the stack.
        batch: the batch.

    Returns:
        The logits in fp32, [N, V] for the batch's N trained tokens, by row and position, and these tokens, [N].
    """
    hidden_BTD = stack.hidden_states(batch.input_ids)
    targets_BT = batch.labels[:, 1:]
    trained_BT = targets_BT != IGNORED
    logits_NV = stack.logits(hidden_BTD[:, :-1][trained_BT])
    return logits_NV.float(), targets_BT[trained_BT]
