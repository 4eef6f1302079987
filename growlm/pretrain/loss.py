"""Cross-entropy over the vocabulary without ever holding all logits.

Shapes: N tokens, D hidden, V vocabulary, C tokens of a chunk.
"""

from typing import Any

import torch
from torch import Tensor


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Computes loss and gradients chunk by chunk in the forward pass; the backward pass only scales them."""

    @staticmethod
    def forward(  # autograd's interface
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        labels_N: Tensor,
        chunk: int,
        ignored: int,
    ) -> Tensor:
        need_hidden, need_weight = ctx.needs_input_grad[:2]
        hidden_grad = torch.empty_like(hidden_ND) if need_hidden else None
        weight_grad = torch.zeros_like(weight_VD, dtype=torch.float32) if need_weight else None
        weight = weight_VD.to(hidden_ND.dtype)
        kept = labels_N != ignored
        count = kept.sum().clamp(min=1)
        total = hidden_ND.new_zeros((), dtype=torch.float32)
        for begin in range(0, len(labels_N), chunk):
            part = slice(begin, begin + chunk)
            hidden_CD, labels_C, kept_C = hidden_ND[part], labels_N[part], kept[part]
            logits_CV = (hidden_CD @ weight.T).float()
            targets = labels_C.where(kept_C, 0)[:, None]
            normalizer = logits_CV.logsumexp(-1, keepdim=True)
            total += ((normalizer - logits_CV.gather(-1, targets))[:, 0] * kept_C).sum()
            if need_hidden or need_weight:
                grad_CV = (logits_CV - normalizer).exp_()
                grad_CV.scatter_add_(-1, targets, grad_CV.new_full(targets.shape, -1.0))
                grad_CV = (grad_CV * (kept_C / count)[:, None]).to(hidden_ND.dtype)
                if hidden_grad is not None:
                    torch.mm(grad_CV, weight, out=hidden_grad[part])
                if weight_grad is not None:
                    weight_grad += grad_CV.T @ hidden_CD
        ctx.save_for_backward(hidden_grad, weight_grad)
        return total / count

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # autograd's interface
        hidden_grad, weight_grad = ctx.saved_tensors
        return (
            None if hidden_grad is None else hidden_grad * grad.to(hidden_grad.dtype),
            None if weight_grad is None else weight_grad * grad,
            None,
            None,
            None,
        )


def chunked_cross_entropy(
    hidden_states: Tensor, weight: Tensor, labels: Tensor, chunk: int = 2_048, ignored: int = -100
) -> Tensor:
    """Compute the mean cross-entropy of ``softmax(hidden_states @ weight.T)``.

    The products are made in the type of ``hidden_states``, or autocast's where it is on; everything else in fp32.
    Gradients flow to the hidden states and to the weight if it takes one.

    Args:
        hidden_states: last hidden states, [..., D].
        weight: output embedding, [V, D].
        labels: the right token for each position, or ``ignored``, [...].
        chunk: tokens whose logits are in memory at a time.
        ignored: label of positions that do not count.

    Returns:
        The mean over the positions that count, in nats, fp32, [].
    """
    hidden_ND = hidden_states.reshape(-1, hidden_states.shape[-1])
    device = hidden_ND.device.type
    if torch.is_autocast_enabled(device):
        hidden_ND = hidden_ND.to(torch.get_autocast_dtype(device))
    loss: Tensor = _ChunkedCrossEntropy.apply(hidden_ND, weight, labels.reshape(-1), chunk, ignored)
    return loss
