"""Residual bottlenecks behind a layer's sublayers: o + W_up f(W_down o + b_down) + b_up, the identity at first.

Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for NLP" (arXiv 1902.00751), section 2.1: one behind the
attention's and one behind the feed-forward part's output projection, before the residual connection; Pfeiffer et al.
2021, "AdapterFusion" (arXiv 2005.00247): behind the feed-forward part only. W_up and b_up begin at exactly zero, where
Houlsby et al. begin near zero. Norms of the base stay frozen, whereas they train them anew for every task.
Proved by tests/golden/test_bottleneck.py.

Shapes: B batch, T tokens, D hidden, M width of the bottleneck.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from growlm.base.architecture import Architecture
from growlm.errors import check_at_least
from growlm.modules.kind import ModuleKind, uniform
from growlm.modules.site import Part


class BottleneckPart(Part):
    """The bottleneck behind one output projection.

    Args:
        hidden: D.
        width: M.
        generator: source of the initial values of the way down; the way up begins at zero.
    """

    mergeable = False

    def __init__(self, hidden: int, width: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.down = nn.Parameter(uniform(width, hidden, generator))
        self.down_bias = nn.Parameter(torch.zeros(width))
        self.up = nn.Parameter(torch.zeros(hidden, width))
        self.up_bias = nn.Parameter(torch.zeros(hidden))

    def forward(self, inputs: Tensor, output: Tensor) -> Tensor:
        """Add the bottleneck of the output so far.

        Args:
            inputs: the projection's input, not used.
            output: its output so far, [B, T, D].

        Returns:
            The new output, [B, T, D].
        """
        narrow_BTM = nn.functional.gelu(nn.functional.linear(output, self.down, self.down_bias))
        return output + nn.functional.linear(narrow_BTM, self.up, self.up_bias)


@dataclass(frozen=True)
class Bottleneck(ModuleKind):
    """Residual bottlenecks behind the output projections of the base's layers.

    Args:
        width: M, the inner width.
        behind: ``both`` sublayers (Houlsby), or the ``feed_forward`` part only (Pfeiffer).
        layers: indices of the decoder layers; None: all.
    """

    any_weights = True
    per_token = True
    per_layer = True

    width: int = 16
    behind: Literal["both", "feed_forward"] = "both"
    layers: list[int] | None = None

    def __post_init__(self) -> None:
        check_at_least("bottleneck width", self.width, 1)

    def build(self, architecture: Architecture, num_blocks: int, generator: torch.Generator | None) -> dict[str, Part]:
        """Build a bottleneck behind every chosen projection; see ``ModuleKind.build``."""
        layers = range(architecture.num_layers) if self.layers is None else architecture.check_layers(self.layers)
        parts: dict[str, Part] = {}
        for layer in layers:
            attention, feed_forward = architecture.output_sites(layer)
            for site in (attention, feed_forward) if self.behind == "both" else (feed_forward,):
                parts[site] = BottleneckPart(architecture.width, self.width, generator)
        return parts
