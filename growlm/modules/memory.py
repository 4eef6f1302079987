"""A sparse memory behind a decoder layer: many rows, of which every token reads a few.

Product keys are Lample et al. 2019, "Large Memory Layers with Product Keys" (arXiv 1907.05242), section 3.1; a memory
as the place for new facts is Lin et al. 2025 (arXiv 2510.15103). With x the hidden state behind the layer,

    (q1, q2) = W x / rms(x),    score(i, j) = q1 · k1_i + q2 · k2_j,    y = x + sum over the top of softmax(score) v_ij,

where the best ``top_k`` of the N² pairs are among the best ``top_k`` of each half, so that N² rows cost 2 N products.
All values begin at zero. What differs from Lin et al.: their memory replaces a feed-forward part and is pretrained with
the base; here the base has none, so that queries and keys begin at random, and one head reads it. Proved by
tests/golden/test_memory.py and tests/contracts/test_every_module.py.

Shapes: B batch, T tokens, D hidden, N keys of each half, Q dims of each half's query, K rows that are read.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from growlm.base.architecture import Architecture
from growlm.errors import GrowlmError, check_at_least
from growlm.modules.kind import ModuleKind
from growlm.modules.site import Part

_EPSILON = 1e-6


class MemoryPart(Part):
    """The memory behind one layer.

    Args:
        hidden: D.
        num_keys: N.
        query_size: Q.
        top_k: K.
        generator: source of the initial values of queries and keys; the values begin at zero.
    """

    mergeable = False

    def __init__(
        self, hidden: int, num_keys: int, query_size: int, top_k: int, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(2, query_size, hidden, generator=generator) / math.sqrt(hidden))
        self.keys = nn.Parameter(torch.randn(2, num_keys, query_size, generator=generator))
        self.values = nn.Parameter(torch.zeros(num_keys**2, hidden))
        self.top_k = top_k

    def read(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the rows that hidden states read.

        Args:
            hidden: hidden states, [..., D].

        Returns:
            The numbers of the rows, the best first, and their weights, which sum to 1; both [..., K].
        """
        normed = hidden * (hidden.square().mean(-1, keepdim=True) + _EPSILON).rsqrt()
        halves = [normed @ query_QD.T @ keys_NQ.T for query_QD, keys_NQ in zip(self.query, self.keys, strict=True)]
        (first, first_rows), (second, second_rows) = (scores.topk(self.top_k, -1) for scores in halves)
        pairs = (first[..., :, None] + second[..., None, :]).flatten(-2)
        best, places = pairs.topk(self.top_k, -1)
        rows = first_rows.gather(-1, places // self.top_k) * self.keys.shape[1]
        return rows + second_rows.gather(-1, places % self.top_k), best.softmax(-1)

    def forward(self, inputs: Tensor, output: Tensor, *args: object, **kwargs: object) -> Tensor:
        """Add what the memory holds for the hidden states behind the layer.

        Args:
            inputs: the layer's input, not used.
            output: the hidden states so far, [B, T, D].
            *args: what else the layer got, not used.
            **kwargs: likewise.

        Returns:
            The new hidden states, [B, T, D].
        """
        rows_BTK, weights_BTK = self.read(output)
        read_BTD = (weights_BTK[..., None] * nn.functional.embedding(rows_BTK, self.values)).sum(-2)
        return output + read_BTD.to(output.dtype)


@dataclass(frozen=True)
class Memory(ModuleKind):
    """Sparse memories behind decoder layers.

    Args:
        num_keys: N, keys of each half; the memory has N² rows.
        query_size: Q, dims of each half of a query.
        top_k: K, how many rows a token reads.
        layers: indices of the decoder layers; None: the middle one.
    """

    any_weights = True
    per_token = True
    per_layer = True

    num_keys: int = 32
    query_size: int = 16
    top_k: int = 8
    layers: list[int] | None = None

    def __post_init__(self) -> None:
        for option, value in (("num_keys", self.num_keys), ("query_size", self.query_size), ("top_k", self.top_k)):
            check_at_least(f"memory {option}", value, 1)
        if self.top_k > self.num_keys:
            raise GrowlmError(f"memory top_k {self.top_k} is more than num_keys {self.num_keys}: give less")

    def build(self, architecture: Architecture, num_blocks: int, generator: torch.Generator | None) -> dict[str, Part]:
        """Build a memory behind every chosen layer; see ``ModuleKind.build``."""
        chosen = [(architecture.num_layers - 1) // 2] if self.layers is None else self.layers
        return {
            architecture.layer_site(layer): MemoryPart(
                architecture.width, self.num_keys, self.query_size, self.top_k, generator
            )
            for layer in architecture.check_layers(chosen)
        }
