"""A low-rank change of the token embedding, and of the output embedding if asked for.

A base that never saw a digit or a turn token has no use for its embedding, and no change inside the layers
makes up for that. Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685, eq. 3) of an embedding gives every token a few
numbers of its own: E + s A B, with A zero at first.

In the output embedding this is what it takes to say words that the base has no logits for, such as digits, and what
it takes to learn by heart who is talked about: a model that was trained to say certain names says these instead of a
new one. So it is left out unless a skill's answers are made of such words. Embeddings that are tied stay tied. Proved
by tests/golden/test_embedding.py.

Shapes: B batch, T tokens, V vocabulary, R rank, D hidden.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from growlm.base.architecture import Architecture
from growlm.errors import check_at_least
from growlm.modules._tied import TiedPart
from growlm.modules.kind import ModuleKind
from growlm.modules.site import Part


class _LowRank(Part):
    """A low-rank change of a matrix with a row for each token.

    Args:
        num_tokens: V.
        width: D.
        rank: R.
        scale: what A B is multiplied by.
        generator: source of B's initial values; A begins at zero.
    """

    def __init__(self, num_tokens: int, width: int, rank: int, scale: float, generator: torch.Generator | None) -> None:
        super().__init__()
        self.A = nn.Parameter(torch.zeros(num_tokens, rank))
        # a step of A moves a token's row as far, whatever the rank
        self.B = nn.Parameter(torch.randn(rank, width, generator=generator) / math.sqrt(rank))
        self.scale = scale

    def delta_weight(self) -> Tensor:
        """Compute s A B, [V, D]."""
        return self.scale * (self.A @ self.B)

    def logits(self, hidden: Tensor) -> Tensor:
        """Compute what the change adds to the logits of hidden states [..., D]: [..., V]."""
        return self.scale * nn.functional.linear(nn.functional.linear(hidden, self.B), self.A)


class EmbeddingPart(_LowRank):
    """The change of the token embedding.

    Args:
        num_tokens: V.
        width: D.
        rank: R.
        scale: what A B is multiplied by.
        row_scale: what the base multiplies the rows by.
        generator: source of B's initial values; A begins at zero.
    """

    def __init__(
        self,
        num_tokens: int,
        width: int,
        rank: int,
        scale: float,
        row_scale: float,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__(num_tokens, width, rank, scale, generator)
        self._row_scale = row_scale

    def forward(self, inputs: Tensor, output: Tensor) -> Tensor:
        """Add the tokens' changes.

        Args:
            inputs: tokens, [B, T].
            output: their embeddings so far, [B, T, D].

        Returns:
            The new embeddings, [B, T, D].
        """
        return output + self.scale * self._row_scale * (nn.functional.embedding(inputs, self.A) @ self.B)


class OutputPart(_LowRank):
    """The change of an output embedding with weights of its own."""

    def forward(self, inputs: Tensor, output: Tensor) -> Tensor:
        """Add the change's logits to those of final hidden states; see ``TiedPart.forward``."""
        return output + self.logits(inputs)


def output_change(part: nn.Module) -> EmbeddingPart | OutputPart | None:
    """Return the low-rank change that a part makes in an output embedding, tied or not; None if it makes none."""
    if isinstance(part, TiedPart):
        return part.embedding if isinstance(part.embedding, EmbeddingPart) else None
    return part if isinstance(part, OutputPart) else None


@dataclass(frozen=True)
class Embedding(ModuleKind):
    """Low-rank change of the token embedding.

    Args:
        rank: R, how many numbers every token gets.
        alpha: scale of the change, divided by the rank; None: twice the rank.
        outputs: change the output embedding, too.
    """

    any_weights = True
    per_token = True
    per_layer = True

    rank: int = 8
    alpha: float | None = None
    outputs: bool = False

    def __post_init__(self) -> None:
        check_at_least("embedding rank", self.rank, 1)

    def build(self, architecture: Architecture, num_blocks: int, generator: torch.Generator | None) -> dict[str, Part]:
        """Build the change of one embedding or both; see ``ModuleKind.build``."""
        scale = (2 * self.rank if self.alpha is None else self.alpha) / self.rank
        inputs, outputs = architecture.embeddings()
        num_tokens, width = architecture.embedding_shape(inputs)
        embedding = EmbeddingPart(num_tokens, width, self.rank, scale, architecture.embedding_scale(), generator)
        if not self.outputs:
            return {inputs: embedding}
        if architecture.tied_embeddings() is not None:
            return {inputs: embedding, outputs: TiedPart(embedding)}
        num_tokens, width = architecture.embedding_shape(outputs)
        return {inputs: embedding, outputs: OutputPart(num_tokens, width, self.rank, scale, generator)}
