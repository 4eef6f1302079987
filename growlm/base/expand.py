"""A larger base from a trained smaller one, computing the same at first.

Function-preserving expansion as in Net2Net (Chen et al. 2016, arXiv 1511.05641) and bert2BERT (Chen et al. 2022,
arXiv 2110.07143), for a Llama: the residual stream is repeated, x' = [x; x; ...], which leaves its root mean square as
it is. A matrix that reads k copies of its input gets k matrices W_i with W_1 + ... + W_k = W, drawn at random:
equal ones would get equal gradients and stay copies of each other for ever. Heads and inner units are copied likewise,
further inner units write nothing at first, and further layers are copies whose output projections are zero (LLaMA Pro,
Wu et al. 2024, arXiv 2401.02415). Proved by tests/golden/test_expand.py.

Shapes: D hidden, H heads, K head dim, F inner dim, L layers; a prime denotes the larger base.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from growlm.base.presets import build_base
from growlm.errors import GrowlmError

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

_SPREAD = 0.5


def expand_base(source: Any, size: str, seed: int = 0, dropout: float = 0.0) -> "LlamaForCausalLM":
    """Build a base of a larger size that computes what a smaller one does, to rounding.

    Args:
        source: the smaller base, a Llama with a tied embedding over the same vocabulary.
        size: what ``growlm.base.presets.shape_of`` reads.
        seed: seed of what is drawn: how matrices are shared out, and new inner units.
        dropout: dropout of the attention weights while training.

    Returns:
        The model in fp32, in training mode.

    Raises:
        GrowlmError: if the larger shape is not a multiple of the smaller one.
    """
    target = build_base(size, seed, dropout)
    _check_shapes(source.config, target.config, size)
    generator = torch.Generator().manual_seed(seed)
    old, new = source.model, target.model
    times = target.config.hidden_size // source.config.hidden_size
    with torch.no_grad():
        new.embed_tokens.weight.copy_(old.embed_tokens.weight.repeat(1, times))
        new.norm.weight.copy_(old.norm.weight.repeat(times) / times)  # the tied output adds the copies up
        for number, index in enumerate(layer_sources(len(old.layers), len(new.layers))):
            _expand_layer(old.layers[abs(index)], new.layers[number], times, generator)
            if index < 0:
                nn.init.zeros_(new.layers[number].self_attn.o_proj.weight)
                nn.init.zeros_(new.layers[number].mlp.down_proj.weight)
    return target


def layer_sources(small: int, large: int) -> list[int]:
    """Return, for each layer of a deeper model, which layer of the shallower one it is made from.

    Further layers are spread evenly, each behind the layer that it copies.

    Args:
        small: L.
        large: L'.

    Returns:
        Indices; a negative one, -i, means a further layer made from layer i (never from layer 0).
    """
    further = [0] * small
    for number in range(large - small):
        further[1 + number * (small - 1) // (large - small)] += 1
    return [source for index in range(small) for source in (index, *[-index] * further[index])]


def _check_shapes(small: Any, large: Any, size: str) -> None:
    for what, less, more in (
        ("hidden size", small.hidden_size, large.hidden_size),
        ("number of heads", small.num_attention_heads, large.num_attention_heads),
    ):
        if more % less or more < less:
            raise GrowlmError(f"a base with {what} {less} cannot be expanded to size {size!r} with {more}: no multiple")
    head = {config.hidden_size // config.num_attention_heads for config in (small, large)}
    same = ("vocab_size", "model_type", "tie_word_embeddings", "rope_parameters", "rms_norm_eps")
    differing = [name for name in same if getattr(small, name) != getattr(large, name)]
    differing += [] if len(head) == 1 else ["head dim"]
    differing += [] if small.num_key_value_heads == small.num_attention_heads else ["num_key_value_heads"]
    if differing:
        raise GrowlmError(
            f"a base with another {differing[0]} cannot be expanded to size {size!r}: choose another base"
        )
    for name in ("intermediate_size", "num_hidden_layers"):
        if getattr(large, name) < getattr(small, name):
            raise GrowlmError(f"size {size!r} has a smaller {name} than the base: only a larger one can be made")
    if large.intermediate_size < small.intermediate_size * (large.hidden_size // small.hidden_size):
        raise GrowlmError(f"size {size!r} has too few inner units for every copy of the base's: choose a larger one")


def _expand_layer(old: Any, new: Any, times: int, generator: torch.Generator) -> None:
    for name in ("input_layernorm", "post_attention_layernorm"):
        getattr(new, name).weight.copy_(getattr(old, name).weight.repeat(times))
    head_copies = new.self_attn.q_proj.weight.shape[0] // old.self_attn.q_proj.weight.shape[0]
    for name in ("q_proj", "k_proj", "v_proj"):
        weight_HKD = getattr(old.self_attn, name).weight.repeat(head_copies, 1)
        getattr(new.self_attn, name).weight.copy_(_shared_out(weight_HKD, times, generator))
    weight_DHK = old.self_attn.o_proj.weight.repeat(times, 1)
    new.self_attn.o_proj.weight.copy_(_shared_out(weight_DHK, head_copies, generator))
    inner = old.mlp.gate_proj.weight.shape[0] * times  # further units keep their drawn inputs and write nothing
    for name in ("gate_proj", "up_proj"):
        weight_FD = getattr(old.mlp, name).weight.repeat(times, 1)
        getattr(new.mlp, name).weight[:inner].copy_(_shared_out(weight_FD, times, generator))
    weight_DF = _shared_out(old.mlp.down_proj.weight.repeat(times, 1), times, generator)
    nn.init.zeros_(new.mlp.down_proj.weight)
    new.mlp.down_proj.weight[:, :inner].copy_(weight_DF)


def _shared_out(weight_OI: Tensor, times: int, generator: torch.Generator) -> Tensor:
    """Share a matrix out over copies of its input: [O, I] to [O, times * I], the parts adding up to the whole."""
    shares_tOI = 1 + _SPREAD * (2 * torch.rand(times, *weight_OI.shape, generator=generator) - 1)
    shares_tOI /= shares_tOI.sum(0, keepdim=True)
    return torch.cat([weight_OI * share_OI for share_OI in shares_tOI], dim=1)
