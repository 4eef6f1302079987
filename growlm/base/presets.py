"""One dial for the size of a base: a name gives every number of a stock Llama."""

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from growlm.base.tokenizer import CONTEXT, END, END_OF_TEXT, PAD, VOCAB_SIZE, special_id
from growlm.errors import GrowlmError, unknown_name

if TYPE_CHECKING:
    from transformers import LlamaConfig, LlamaForCausalLM


@dataclass(frozen=True)
class Preset:
    """The shape of one size.

    Args:
        hidden_size: width of the residual stream.
        num_layers: number of decoder layers.
        num_heads: attention heads; each has ``hidden_size / num_heads`` dimensions.
        intermediate_size: inner width of the SwiGLU feed-forward part.
    """

    hidden_size: int
    num_layers: int
    num_heads: int
    intermediate_size: int


PRESETS = {
    "nano": Preset(hidden_size=128, num_layers=5, num_heads=4, intermediate_size=320),
    "mini": Preset(hidden_size=256, num_layers=8, num_heads=4, intermediate_size=640),
    "50m": Preset(hidden_size=512, num_layers=14, num_heads=8, intermediate_size=1_408),
}


def shape_of(size: str) -> Preset:
    """Read a size: a name of ``PRESETS``, or width, layers, heads and inner width, such as ``256x8x4x640``.

    Raises:
        GrowlmError: for anything else, or a width that has no even number of dimensions for each head.
    """
    if size in PRESETS:
        return PRESETS[size]
    numbers = size.split("x")
    if len(numbers) != len(fields(Preset)) or not all(re.fullmatch("[1-9][0-9]{0,4}", number) for number in numbers):
        raise unknown_name("base size", size, [*PRESETS, "WIDTHxLAYERSxHEADSxINNER"])
    shape = Preset(*map(int, numbers))
    if shape.hidden_size % (2 * shape.num_heads):  # rotary positions turn pairs of dimensions
        raise GrowlmError(
            f"base size {size!r}: {shape.num_heads} heads of a width of {shape.hidden_size} have no even number of "
            "dimensions each: give a multiple of twice the heads"
        )
    return shape


def preset_config(size: str, dropout: float = 0.0) -> "LlamaConfig":
    """Build the stock configuration of a size.

    Args:
        size: ``"nano"`` (2.0 M parameters), ``"mini"`` (8.1 M) or ``"50m"`` (49.2 M), tied embedding included; or a
            shape of its own, as ``shape_of`` reads it.
        dropout: dropout of the attention weights while training.

    Returns:
        A Llama configuration over the shared vocabulary of 8,192 entries.

    Raises:
        GrowlmError: for an unknown size.
    """
    from transformers import LlamaConfig

    shape = shape_of(size)
    return LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        attention_dropout=dropout,
        bos_token_id=special_id(END_OF_TEXT),
        eos_token_id=[special_id(END_OF_TEXT), special_id(END)],
        pad_token_id=special_id(PAD),
    )


def build_base(size: str, seed: int = 0, dropout: float = 0.0) -> "LlamaForCausalLM":
    """Create an untrained base in fp32; the same size and seed give the same bits.

    Matrices are drawn from N(0, 0.02²); those that write to the residual stream (``o_proj``, ``down_proj``) from a
    distribution narrower by the square root of twice the number of layers (Radford et al., 2019).

    Args:
        size: what ``shape_of`` reads.
        seed: seed of the initialisation; the global random state is left as it was.
        dropout: dropout of the attention weights while training.

    Returns:
        The model, in training mode.

    Raises:
        GrowlmError: for an unknown size.
    """
    import torch
    from transformers import LlamaForCausalLM

    config = preset_config(size, dropout)
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    std = config.initializer_range
    narrow = std / (2 * config.num_hidden_layers) ** 0.5
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                parameter.normal_(0.0, narrow if residual else std, generator=generator)
    return model
