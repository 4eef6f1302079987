"""Gains: what each sublayer writes to the residual stream, times one trained number per dim, 1 at first.

After GAIN (arXiv 2604.04516), which scales the outputs of attention and of the feed-forward part by learned factors;
the full text was not read. With o what an output projection gives, the site's output is g ⊙ o. A gain turns nothing
into something else: it makes directions that the base writes already stronger or weaker. On a projection without other
changes diag(g) W is a stock weight; behind other modules' changes it is a product and no sum, so that it is not merged.
Proved by tests/golden/test_gain.py and tests/contracts/test_every_module.py.

Shapes: B batch, T tokens, D hidden.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from growlm.base.architecture import Architecture
from growlm.modules.kind import ModuleKind
from growlm.modules.site import Part


class GainPart(Part):
    """The gains behind one output projection.

    Args:
        hidden: D.
    """

    mergeable = False

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(hidden))

    def forward(self, inputs: Tensor, output: Tensor) -> Tensor:
        """Scale the output so far.

        Args:
            inputs: the projection's input, not used.
            output: its output so far, [B, T, D].

        Returns:
            The new output, [B, T, D].
        """
        return output * self.gain


@dataclass(frozen=True)
class Gain(ModuleKind):
    """Gains behind the output projections of the base's layers.

    Args:
        behind: ``both`` sublayers, or the ``feed_forward`` part only.
        layers: indices of the decoder layers; None: all.
    """

    any_weights = True
    per_token = True
    per_layer = True

    behind: Literal["both", "feed_forward"] = "both"
    layers: list[int] | None = None

    def build(self, architecture: Architecture, num_blocks: int, generator: torch.Generator | None) -> dict[str, Part]:
        """Build the gains behind every chosen projection; see ``ModuleKind.build``."""
        layers = range(architecture.num_layers) if self.layers is None else architecture.check_layers(self.layers)
        parts: dict[str, Part] = {}
        for layer in layers:
            attention, feed_forward = architecture.output_sites(layer)
            for site in (attention, feed_forward) if self.behind == "both" else (feed_forward,):
                parts[site] = GainPart(architecture.width)
        return parts
