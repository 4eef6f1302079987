"""Decoder layers inserted after chosen layers, beginning as the identity.

Wu et al. 2024, "LLaMA Pro: Progressive LLaMA with Block Expansion" (arXiv 2401.02415), section 3: a copy of the layer
before it whose output projections are zero leaves the residual stream unchanged; norms before them are not touched,
since a zero norm would give everything behind it zero gradients. Where a norm follows the projection, its weight is
zero instead: it gets a gradient, and with its first step all else does. Unlike there, the layers go into the deep half
by default (shallow layers stay general) and each module's layers are its own. Proved by
tests/contracts/test_every_module.py.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from growlm.base.architecture import Architecture
from growlm.errors import GrowlmError, check_at_least
from growlm.modules.kind import ModuleKind
from growlm.modules.site import Part
from growlm.terminal import counted


class BlockPart(Part):
    """A decoder layer that runs after its site's layer.

    Args:
        layer: a stock decoder layer.
        cache_slot: its own slot in the key-value cache.
    """

    def __init__(self, layer: nn.Module, cache_slot: int) -> None:
        super().__init__()
        self.layer = layer
        self.cache_slot = cache_slot

    def forward(self, inputs: Tensor, output: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Run the inserted layer on the output of the site's layer.

        Args:
            inputs: the site's input, not used.
            output: hidden states after the site's layer, [B, T, D].
            *args: what the site's layer got besides (mask, positions, cache).
            **kwargs: likewise.

        Returns:
            The new hidden states, [B, T, D].
        """
        result = self.layer(output, *args, **kwargs)
        return result[0] if isinstance(result, tuple) else result

    def inserted_layer(self) -> nn.Module:
        """Return the inserted layer."""
        return self.layer


@dataclass(frozen=True)
class Block(ModuleKind):
    """Decoder layers inserted into the base, identity at first.

    Args:
        num_blocks: how many layers, spread evenly over the deep half.
        after: indices of the decoder layers to insert after, instead of the even spread.
    """

    per_layer = True

    num_blocks: int = 2
    after: list[int] | None = None

    def __post_init__(self) -> None:
        check_at_least("num_blocks", self.num_blocks, 1)

    def build(self, architecture: Architecture, num_blocks: int, generator: torch.Generator | None) -> dict[str, Part]:
        """Build one inserted layer for every chosen place; see ``ModuleKind.build``."""
        if not getattr(architecture.config, "do_layer_norm_before", True):
            raise GrowlmError(
                "this base normalises the residual stream itself, so no inserted layer is neutral: leave block out"
            )
        parts: dict[str, Part] = {}
        first_slot = architecture.num_layers + num_blocks
        for slot, layer in enumerate(self._places(architecture), start=first_slot):
            new_layer = architecture.copy_layer(layer, slot)
            architecture.make_neutral(new_layer)
            parts[architecture.layer_site(layer)] = BlockPart(new_layer, slot)
        return parts

    def _places(self, architecture: Architecture) -> tuple[int, ...]:
        if self.after is not None:
            return architecture.check_layers(self.after)
        shallow = architecture.num_layers // 2
        deep = architecture.num_layers - shallow
        if self.num_blocks > deep:
            raise GrowlmError(
                f"num_blocks {self.num_blocks} is more than the {counted(deep, 'deep layer')} of this base: give "
                "fewer, or the places with 'after'"
            )
        return tuple(shallow + deep * (index + 1) // self.num_blocks - 1 for index in range(self.num_blocks))
