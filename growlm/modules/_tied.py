"""The change of an output embedding that is tied to the token embedding."""

from typing import Protocol

import torch
from torch import Tensor

from growlm.modules.site import Part


class EmbeddingChange(Protocol):
    """A part of the token embedding that tells what its change of the weight adds to the logits."""

    @property
    def dtype(self) -> torch.dtype | None:
        """What the change is held in."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Compute what the change adds to the logits of hidden states [..., D]: [..., V]."""

    def delta_weight(self) -> Tensor:
        """Compute the change of the weight, [V, D]."""


class TiedPart(Part):
    """The change of an output embedding that is tied to the token embedding: it has no weights of its own.

    Args:
        embedding: the part of the token embedding.
    """

    def __init__(self, embedding: EmbeddingChange) -> None:
        super().__init__()
        self._embedding = (embedding,)  # in a tuple, so that the weights are listed, trained and saved once

    @property
    def embedding(self) -> EmbeddingChange:
        """The part of the token embedding."""
        return self._embedding[0]

    @property
    def dtype(self) -> torch.dtype | None:
        """What the token embedding's change is held in."""
        return self._embedding[0].dtype

    def forward(self, inputs: Tensor, output: Tensor) -> Tensor:
        """Add the logits of the token embedding's change.

        Args:
            inputs: final hidden states, [B, T, D].
            output: logits so far, [B, T, V].

        Returns:
            The new logits, [B, T, V].
        """
        return output + self._embedding[0].logits(inputs)

    def delta_weight(self) -> Tensor:
        """Return the token embedding's change of the weight, [V, D]."""
        return self._embedding[0].delta_weight()
