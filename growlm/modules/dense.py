"""A full difference for chosen weights: what plain fine-tuning changes, kept apart from the frozen base.

Linears, embeddings and norms are linear in their weights, so that f(x; W + D) = f(x; W) + f(x; D): a part is a copy of
its site's layer whose weights are D, zero at first. Proved by tests/contracts/test_every_module.py (merging the
difference into the weights computes the same).

Shapes: B batch, T tokens, I input dim, O output dim, V vocabulary, D hidden.
"""

from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from growlm.base.architecture import Architecture
from growlm.errors import GrowlmError
from growlm.modules._tied import TiedPart
from growlm.modules.kind import ModuleKind
from growlm.modules.site import Part


class DensePart(Part):
    """The full difference of one linear, embedding or norm.

    Args:
        layer: a copy of the site's layer; its weights become the difference.
        offset: whether the layer multiplies by one plus its weight, as the norms of Gemma do.
    """

    def __init__(self, layer: nn.Module, offset: bool = False) -> None:
        super().__init__()
        self.offset = offset
        self.layer = layer.requires_grad_(True)
        for parameter in self.layer.parameters():
            nn.init.zeros_(parameter)

    def forward(self, inputs: Tensor, output: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Add what the site's layer computes with the difference for weights.

        Args:
            inputs: the site's input: hidden states [B, T, I], or tokens [B, T].
            output: its output so far, [B, T, O].
            *args: what the site's layer got besides.
            **kwargs: likewise.

        Returns:
            The new output, [B, T, O].
        """
        change = self.layer(inputs, *args, **kwargs)
        if self.offset:
            zeros = {name: torch.zeros_like(value) for name, value in self.layer.named_parameters()}
            change = change - torch.func.functional_call(self.layer, zeros, (inputs, *args), kwargs)
        return output + change

    def delta_weight(self) -> Tensor:
        """Return the difference of the weight, [O, I] for a linear."""
        weight = cast(Tensor, self.layer.weight)
        return weight.T if isinstance(self.layer, Conv1D) else weight

    def logits(self, hidden: Tensor) -> Tensor:
        """Compute what the difference of an embedding adds to the logits of hidden states [..., D]: [..., V]."""
        return nn.functional.linear(hidden, self.delta_weight())

    def deltas(self, original: nn.Module) -> dict[str, Tensor]:
        """Return the differences by parameter, as the layer itself lays them out."""
        return dict(self.layer.named_parameters())


@dataclass(frozen=True)
class Dense(ModuleKind):
    """Full differences of the base's weights: as much as fine-tuning can change.

    Args:
        weights: ``all`` weights of the base, or the ``linears`` of its layers only.
        layers: only those in the decoder layers with these indices; None: wherever they are.
    """

    per_token = True
    per_layer = True
    encoder_decoder = True

    weights: Literal["all", "linears"] = "all"
    layers: list[int] | None = None

    def build(self, architecture: Architecture, num_blocks: int, generator: torch.Generator | None) -> dict[str, Part]:
        """Build a difference for every chosen layer; see ``ModuleKind.build``."""
        layers = range(architecture.num_layers) if self.layers is None else architecture.check_layers(self.layers)
        if architecture.has_encoder and self.weights == "all" and self.layers is None:
            raise GrowlmError(
                "the embeddings of an encoder-decoder are shared by three layers: give dense the option weights linears"
            )
        if self.weights == "linears":
            paths = architecture.linear_sites(None, layers)
        else:
            paths = architecture.weighted_layers(None if self.layers is None else layers)
        parts: dict[str, Part] = {
            path: DensePart(layer, architecture.family.offset_norms and "Norm" in type(layer).__name__)
            for path, layer in ((path, architecture.copy_of(path)) for path in paths)
        }
        tied = architecture.tied_embeddings()
        if tied is not None and tied[0] in parts:
            embedding, output = tied
            parts[output] = TiedPart(cast(DensePart, parts[embedding]))
        return parts
