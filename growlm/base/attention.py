"""Attention as plain matrix products, for CPUs.

torch's own kernel (SDPA) computes its backward pass on a CPU several times slower than two matrix products and a
softmax do. Importing this module registers ``MATMUL`` with transformers:
``model.set_attn_implementation(MATMUL)``.

Shapes: B rows, H heads, Q queries, T keys, K dimensions of a head.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout as drop
from transformers import AttentionInterface, PreTrainedConfig, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from growlm.base.architecture import has_plain_attention

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
    # a number that does not depend on the shape, so that compiled code serves every shape
    num_blocks = 2 if torch.compiler.is_compiling() else -(-num_queries // _QUERY_BLOCK)
    for block in range(num_blocks):
        begin, end = num_queries * block // num_blocks, num_queries * (block + 1) // num_blocks
        seen = num_keys - num_queries + end
        scores = query[:, :, begin:end] @ key[:, :, :seen].transpose(2, 3)
        scores = scores.float() * scaling + attention_mask[:, :, begin:end, :seen]
        weights = drop(scores.softmax(-1).to(value.dtype), dropout, module.training)
        outputs.append(weights @ value[:, :, :seen])
    return torch.cat(outputs, 2).transpose(1, 2).contiguous(), None


@contextmanager
def matmul_on_cpu(model: PreTrainedModel) -> Iterator[None]:
    """Run a model with ``MATMUL`` for a ``with`` block, if it is on a CPU and of a family that this computes.

    What it computes is the same up to rounding.

    Args:
        model: the model; layers that were inserted into it, which have configs of their own, run so, too.
    """
    configs = {id(config): config for layer in model.modules() if (config := getattr(layer, "config", None))}
    implementations = {config._attn_implementation for config in configs.values()}
    if model.device.type != "cpu" or not has_plain_attention(model) or implementations != {"sdpa"}:
        yield
        return
    _set_implementation(configs.values(), MATMUL)
    try:
        yield
    finally:
        _set_implementation(configs.values(), "sdpa")


def _set_implementation(configs: Iterable[PreTrainedConfig], name: str) -> None:
    for config in configs:
        config._attn_implementation = name


def _additive_mask(*args: Any, **kwargs: Any) -> Tensor:
    """Build transformers' additive mask in bf16; a boolean one keeps the softmax from being vectorised."""
    return eager_mask(*args, **{**kwargs, "dtype": torch.bfloat16})


AttentionInterface.register(MATMUL, matmul_attention)
AttentionMaskInterface.register(MATMUL, _additive_mask)
