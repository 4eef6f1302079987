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
    hidden_BTD = stack.hidden_states(batch.input_ids)
    targets_BT = batch.labels[:, 1:]
    trained_BT = targets_BT != IGNORED
    logits_NV = stack.logits(hidden_BTD[:, :-1][trained_BT])
    return nn.functional.cross_entropy(logits_NV.float(), targets_BT[trained_BT], reduction="none")
