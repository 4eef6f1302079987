"""Low-rank adaptation: W x + s B A x, with only A and B trained.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685), eq. 3: s = alpha / R.
Rank-stabilised scale (Kalajdzievski 2023, arXiv 2312.03732): s = alpha / sqrt(R).
Initial values and numbers as in PEFT, so that an export is exact. Proved by tests/golden/test_lora.py.

Shapes: B batch, T tokens, R rank, I input dim, O output dim.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from growlm.base.architecture import Architecture
from growlm.base.quantize import is_quantized
from growlm.errors import GrowlmError, check_at_least
from growlm.modules.kind import ModuleKind, uniform
from growlm.modules.site import Part

_SMALL = 2**18
"""Weights of a layer, I O, up to which one product with the changed weight is faster on a CPU than three."""


class LoraPart(Part):
    """The low-rank change of one linear.

    Args:
        in_features: I.
        out_features: O.
        rank: R.
        scale: what B A x is multiplied by.
        dropout: probability with which elements of the part's input are zeroed in training.
        generator: source of A's initial values; B begins at zero.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rank: int,
        scale: float,
        dropout: float,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.A = nn.Parameter(uniform(rank, in_features, generator))  # as PEFT draws it
        self.B = nn.Parameter(torch.zeros(out_features, rank))
        self.scale = scale
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor, output: Tensor) -> Tensor:
        """Add the low-rank change.

        Args:
            inputs: the linear's input, [B, T, I].
            output: its output so far, [B, T, O].

        Returns:
            The new output, [B, T, O].
        """
        low_BTR = nn.functional.linear(self.dropout(inputs), self.A)
        return output + self.scale * nn.functional.linear(low_BTR, self.B)

    def fused_forward(self, layer: nn.Module, inputs: Tensor) -> Tensor | None:
        """Add the change to the weight before the product, where a small layer is trained on a CPU.

        Under bf16 autocast the sum is rounded to bf16, as a weight that is trained itself would be.

        Args:
            layer: the linear at the part's site.
            inputs: its input, [B, T, I].

        Returns:
            The new output, [B, T, O]; None where two more products of low rank cost less, or dropout comes between.
        """
        if not (self.A.requires_grad and torch.is_grad_enabled() and torch.is_autocast_enabled("cpu")):
            return None
        if type(layer) is not nn.Linear or is_quantized(layer):
            return None
        if layer.weight.numel() > _SMALL or self.dropout.p or inputs.is_cuda:
            return None
        half = torch.get_autocast_dtype("cpu")
        # the scale goes to B, not to the sum as its alpha, which inductor loses when it joins product and sum (2.13)
        delta_OI = (self.scale * self.B).to(half) @ self.A.to(half)
        return nn.functional.linear(inputs, layer.weight.to(half) + delta_OI, layer.bias)

    def delta_weight(self) -> Tensor:
        """Compute s B A, [O, I]."""
        return self.scale * (self.B @ self.A)


@dataclass(frozen=True)
class Lora(ModuleKind):
    """Low-rank changes of the base's linears.

    Args:
        rank: R, the rank of every change.
        alpha: scale of the change, divided by the rank; None: twice the rank.
        dropout: probability with which elements of a change's input are zeroed in training.
        target_modules: names of the linears, such as q_proj; None: all linears of the layers.
        layers: indices of the decoder layers; None: all.
        rslora: divide alpha by the square root of the rank instead.
    """

    any_weights = True
    per_token = True
    per_layer = True
    encoder_decoder = True

    rank: int = 16
    alpha: float | None = None
    dropout: float = 0.0
    target_modules: list[str] | None = None
    layers: list[int] | None = None
    rslora: bool = False

    def __post_init__(self) -> None:
        check_at_least("lora rank", self.rank, 1)
        if not 0 <= self.dropout < 1:
            raise GrowlmError(f"lora dropout {self.dropout} is not a probability below 1")

    @property
    def scale(self) -> float:
        """What the low-rank product is multiplied by."""
        alpha = 2 * self.rank if self.alpha is None else self.alpha
        return alpha / (math.sqrt(self.rank) if self.rslora else self.rank)

    def build(self, architecture: Architecture, num_blocks: int, generator: torch.Generator | None) -> dict[str, Part]:
        """Build one low-rank change for every matching linear; see ``ModuleKind.build``."""
        layers = range(architecture.num_layers) if self.layers is None else architecture.check_layers(self.layers)
        parts: dict[str, Part] = {}
        for site in architecture.linear_sites(self.target_modules, layers):
            out_features, in_features = architecture.linear_shape(site)
            parts[site] = LoraPart(in_features, out_features, self.rank, self.scale, self.dropout, generator)
        return parts
