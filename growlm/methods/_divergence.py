"""How far a distribution of the next token is from another.

Shapes: N tokens, V vocabulary.
"""

import torch
from torch import Tensor


def divergence(reference_NV: Tensor, logits_NV: Tensor) -> Tensor:
    """Compute KL(reference ‖ model) of every token in nats, [N].

    Args:
        reference_NV: logits of the distribution that is kept to, [N, V]; an entry of -inf is left out.
        logits_NV: logits of the model, [N, V].
    """
    reference_NV, logits_NV = reference_NV.log_softmax(-1), logits_NV.log_softmax(-1)
    difference_NV = torch.where(reference_NV.isinf(), 0.0, reference_NV - logits_NV)
    return (reference_NV.exp() * difference_NV).sum(-1)
