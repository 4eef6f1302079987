"""Learned keys and values that every layer's attention reads beside those of the tokens, worth nothing at first.

After prefix tuning: Li & Liang 2021, "Prefix-Tuning: Optimizing Continuous Prompts for Generation" (arXiv 2101.00190),
P learned keys and values for every head of every layer. There they share one softmax with those of the tokens, which
changes the outputs at once, whatever their values. So they are read with a softmax of their own, as in LLaMA-Adapter
(Zhang et al. 2023, arXiv 2303.16199, section 3.2), and added:

    attention(x) = W_o [ softmax(Q K^T / sqrt(C)) V  +  s softmax(Q P_K^T / sqrt(C)) P_V ],  P_V = 0 at first.

He et al. 2022 (arXiv 2110.04366), section 3.1, write prefix tuning so: s is then the share of the softmax that the
prefix takes, and the first term has the rest. Here nothing is taken, and s is a constant as LoRA's alpha, with which
prefixes learn at the rates that suit other kinds. LLaMA-Adapter begins with random values behind a closed gate and
learns both; values that begin at zero need no gate.

What differs besides: no reparametrisation by an MLP as in prefix tuning. Q is each head's query before rotation, scaled
to a mean square of 1 (as it about is in a trained base): so a prefix has no position, what is read depends neither
on padding nor on a cache, and keys spread the scores as far on every base. Prefixes of several modules are read apart
and summed, and W_o is the base's own, so that a finished path computes the same whatever is grown later. Proved by
tests/golden/test_prefix.py.

Shapes: B batch, T tokens, H heads, C dims of a head, P vectors of the prefix, D hidden.
"""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from growlm.base.architecture import Architecture
from growlm.errors import check_at_least
from growlm.modules.kind import ModuleKind
from growlm.modules.site import Part

_SPREAD_OF_KEYS = 3.0  # how far the scores are spread at first
_EPSILON = 1e-6


def prefix_read(queries_BTHC: Tensor, keys_HPC: Tensor, values_HPC: Tensor) -> Tensor:
    """Read a prefix with the queries of every token.

    Args:
        queries_BTHC: queries as the layer computes them, [B, T, H, C].
        keys_HPC: keys of the prefix, [H, P, C].
        values_HPC: values of the prefix, [H, P, C].

    Returns:
        softmax(Q P_K^T / sqrt(C)) P_V, [B, T, H, C].
    """
    queries_BTHC = nn.functional.rms_norm(queries_BTHC, queries_BTHC.shape[-1:], eps=_EPSILON)
    scores_BTHP = torch.einsum("bthc,hpc->bthp", queries_BTHC, keys_HPC) * queries_BTHC.shape[-1] ** -0.5
    weights_BTHP = scores_BTHP.softmax(-1, dtype=torch.float32).to(values_HPC.dtype)
    return torch.einsum("bthp,hpc->bthc", weights_BTHP, values_HPC)


class QueryPart(Part):
    """Captures the queries that a layer computes, for the layer's prefix.

    Args:
        heads: (H, C).
        fused: where the queries are in the site's output; see ``growlm.base.architecture.Family``.
    """

    mergeable = False

    def __init__(self, heads: tuple[int, int], fused: Literal["no", "parts", "heads"]) -> None:
        super().__init__()
        self._heads = heads
        self._fused = fused

    def forward(self, inputs: Tensor, output: Tensor) -> Tensor:
        """Capture the queries and change nothing.

        Args:
            inputs: the linear's input, not used.
            output: its output so far: queries, perhaps with keys and values, [B, T, H C] or [B, T, 3 H C].

        Returns:
            The output as it was.
        """
        heads, width = self._heads
        if self._fused == "heads":
            queries_BTHC = output.unflatten(-1, (heads, 3, width))[..., 0, :]
        else:
            queries_BTHC = output[..., : heads * width].unflatten(-1, (heads, width))
        self.context.captured[self] = queries_BTHC
        return output

    def take(self) -> Tensor:
        """Return the queries of this pass, [B, T, H, C], and forget them."""
        return self.context.captured.pop(self)


class PrefixPart(Part):
    """The prefix of one layer's attention.

    Args:
        length: P.
        heads: (H, C).
        scale: s.
        queries: the part that captures the layer's queries.
        output_projection: the base's own linear at the part's site, W_o.
        generator: source of the keys' initial values; the values begin at zero.
    """

    mergeable = False

    def __init__(
        self,
        length: int,
        heads: tuple[int, int],
        scale: float,
        queries: QueryPart,
        output_projection: nn.Module,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        shape = (heads[0], length, heads[1])
        self.keys = nn.Parameter(_SPREAD_OF_KEYS * torch.randn(shape, generator=generator))
        self.values = nn.Parameter(torch.zeros(shape))
        self.scale = scale
        # in a tuple, so that neither is listed, trained or saved as the part's own
        self._others = (queries, output_projection)

    def forward(self, inputs: Tensor, output: Tensor) -> Tensor:
        """Add what the heads read from the prefix.

        Args:
            inputs: what the heads read from the tokens, not used, [B, T, H C].
            output: the attention's output so far, [B, T, D].

        Returns:
            The new output, [B, T, D].
        """
        queries, output_projection = self._others
        read_BTHC = prefix_read(queries.take(), self.keys, self.values)
        weight = cast(Tensor, output_projection.weight)
        weight_DI = weight.T if isinstance(output_projection, Conv1D) else weight
        return output + self.scale * nn.functional.linear(read_BTHC.flatten(-2), weight_DI)


@dataclass(frozen=True)
class Prefix(ModuleKind):
    """Learned keys and values that the layers' attention reads beside those of the tokens.

    Args:
        length: how many of them each head of each layer has.
        scale: what is read is multiplied by it.
        layers: indices of the decoder layers; None: all.
    """

    per_layer = True

    length: int = 16
    scale: float = 16.0
    layers: list[int] | None = None

    def __post_init__(self) -> None:
        check_at_least("prefix length", self.length, 1)

    def build(self, architecture: Architecture, num_blocks: int, generator: torch.Generator | None) -> dict[str, Part]:
        """Build two parts for every chosen layer; see ``ModuleKind.build``."""
        layers = range(architecture.num_layers) if self.layers is None else architecture.check_layers(self.layers)
        heads = architecture.heads()
        parts: dict[str, Part] = {}
        for layer in layers:
            queries = QueryPart(heads, architecture.family.fused)
            output = architecture.output_sites(layer)[0]
            parts[architecture.query_site(layer)] = queries
            parts[output] = PrefixPart(self.length, heads, self.scale, queries, architecture.resolve(output), generator)
        return parts
