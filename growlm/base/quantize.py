"""The linears of a base's decoder layers in 8 or 4 bits, by the packages that know how; the rest stays as it is.

``int8``: one scale for each output, weights only (torchao). ``nf4``: 4-bit normal floats in blocks of 64 (Dettmers et
al. 2023, arXiv 2305.14314; bitsandbytes). Gradients flow through both to what is trained.
"""

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from growlm.errors import GrowlmError, needs_extra, unknown_name

Quantization = Literal["int8", "nf4"]


def hold(base: PreTrainedModel, layers: str, dtype: torch.dtype | None, how: Quantization | None) -> bool:
    """Hold a base as it was loaded in another precision, in place.

    Args:
        base: the base as it is stored.
        layers: stock path of the list of decoder layers.
        dtype: what the weights are held in; None: fp32, or bf16 if they are quantized.
        how: see ``quantize_layers``; None: not at all.

    Returns:
        Whether nothing was changed.
    """
    dtype = dtype or (torch.float32 if how is None else torch.bfloat16)
    stored = {parameter.dtype for parameter in base.parameters()}
    nn.Module.to(base, dtype)
    if how is not None:
        quantize_layers(base, layers, how)
    return stored == {dtype} and how is None


def quantize_layers(base: PreTrainedModel, layers: str, how: Quantization) -> None:
    """Hold the linears of the decoder layers in fewer bits, in place.

    Args:
        base: the base, in the half precision that its products are computed in.
        layers: stock path of the list of decoder layers.
        how: in how many bits, and of which sort.

    Raises:
        GrowlmError: if the package is not installed, for another sort, or for a base in full precision.
    """
    if how not in get_args(Quantization):
        raise unknown_name("quantization", str(how), get_args(Quantization))
    if base.dtype not in (torch.bfloat16, torch.float16):
        raise GrowlmError(f"a base in {how} computes in half precision: give dtype bfloat16 instead of {base.dtype}")
    inside = f"{layers}."
    if how == "int8":
        _to_int8(base, inside)
    else:
        _to_nf4(base, inside)


def is_quantized(layer: nn.Module) -> bool:
    """Return whether a layer's weight is held in fewer bits than it is computed in."""
    weight: Any = getattr(layer, "weight", None)
    return weight is not None and (hasattr(weight, "__tensor_flatten__") or not weight.dtype.is_floating_point)


def plain_tensors(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """Return what a tensor consists of, by name: itself, or the parts of one in fewer bits."""
    held: Any = tensor
    if hasattr(held, "__tensor_flatten__"):
        return {f"{name}.{part}": getattr(held, part).detach() for part in held.__tensor_flatten__()[0]}
    state = getattr(held, "quant_state", None)
    return {name: tensor.detach()} if state is None else {name: tensor.data, f"{name}.absmax": state.absmax}


def _to_int8(base: PreTrainedModel, inside: str) -> None:
    try:
        from torchao.quantization import (  # type: ignore[import-not-found, unused-ignore]  # an extra
            Int8WeightOnlyConfig,
            quantize_,
        )
    except ImportError:
        raise needs_extra("a base in int8", "torchao", "quantize") from None
    quantize_(
        base,
        Int8WeightOnlyConfig(),
        filter_fn=lambda module, path: isinstance(module, nn.Linear) and path.startswith(inside),
    )


def _to_nf4(base: PreTrainedModel, inside: str) -> None:
    try:
        from bitsandbytes.nn import Linear4bit, Params4bit  # type: ignore[import-not-found, unused-ignore]  # an extra
    except ImportError:
        raise needs_extra("a base in nf4", "bitsandbytes", "quantize") from None
    linears = [(path, module) for path, module in base.named_modules() if isinstance(module, nn.Linear)]
    for path, linear in linears:
        if path.startswith(inside):
            with torch.device("meta"):
                small = Linear4bit(
                    linear.in_features,
                    linear.out_features,
                    bias=linear.bias is not None,
                    compute_dtype=linear.weight.dtype,
                    quant_type="nf4",
                )
            small.weight = Params4bit(linear.weight.data, requires_grad=False, quant_type="nf4")
            small.bias = linear.bias
            small.support_avx512bf16_for_cpu = False  # it would pack its weight anew in the first pass
            parent, _, name = path.rpartition(".")
            setattr(base.get_submodule(parent), name, small.to(linear.weight.device))
