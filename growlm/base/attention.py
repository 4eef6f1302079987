"""Attention as plain matrix products, for CPUs.

torch's own kernel (SDPA) computes its backward pass on a CPU several times slower than two matrix products and a
softmax do. Importing this module registers ``MATMUL`` with transformers:
``model.set_attn_implementation(MATMUL)``.

Shapes: B rows, H heads, Q queries, T keys, K dimensions of a head.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout as drop
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

MATMUL = "growlm_matmul"
_QUERY_BLOCK = 256


def matmul_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Compute causal attention block by block of queries, each over the keys that it can see.

    Args:
        module: the attention layer.
        query: [B, H, Q, K].
        key: [B, H, T, K], or fewer heads that are shared by neighbouring queries.
        value: like ``key``.
        attention_mask: what is added to the scores, [B, 1, Q, T]; causal, the last query beside the last key.
        scaling: factor of the scores.
        dropout: dropout of the weights.
        kwargs: what other implementations need.

    Returns:
        The heads' outputs, [B, Q, H, K], and no weights.
    """
    if key.shape[1] != query.shape[1]:
        shared = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(shared, 1), value.repeat_interleave(shared, 1)
    num_queries, num_keys = query.shape[2], key.shape[2]
    outputs: list[Tensor] = []
    for begin in range(0, num_queries, _QUERY_BLOCK):
        end = min(begin + _QUERY_BLOCK, num_queries)
        seen = num_keys - num_queries + end
        scores = query[:, :, begin:end] @ key[:, :, :seen].transpose(2, 3)
        scores = scores.float() * scaling + attention_mask[:, :, begin:end, :seen]
        weights = drop(scores.softmax(-1).to(value.dtype), dropout, module.training)
        outputs.append(weights @ value[:, :, :seen])
    return torch.cat(outputs, 2).transpose(1, 2).contiguous(), None


def _additive_mask(*args: Any, **kwargs: Any) -> Tensor:
    """Build transformers' additive mask in bf16; a boolean one keeps the softmax from being vectorised."""
    return eager_mask(*args, **{**kwargs, "dtype": torch.bfloat16})


AttentionInterface.register(MATMUL, matmul_attention)
AttentionMaskInterface.register(MATMUL, _additive_mask)
