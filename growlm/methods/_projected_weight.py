"""A weight that may change in some directions only, for methods that train full differences.

Projecting the gradient is not enough: Adam's scaling, momentum and weight decay turn it back into the directions that
are to stay. So the weight's change since the phase began is projected as well, after every step.

Shapes: O output dim, I input dim.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from growlm.modules.dense import DensePart


class ProjectedWeight:
    """The trained difference of a linear, and what its changes must not touch.

    Args:
        part: the difference as it is when the phase begins.
        allowed: returns of a change [O, I] what is allowed; its further arguments are the directions.
        directions: the directions, a matrix of [O or I, number] each.
    """

    def __init__(self, part: DensePart, allowed: Callable[..., Tensor], *directions: Tensor) -> None:
        self.parameter = cast(nn.Parameter, part.layer.weight)
        self._start = self.parameter.detach().clone()
        self._transposed = isinstance(part.layer, Conv1D)
        self._allowed = allowed
        self._directions = directions

    @torch.no_grad()
    def project_gradient(self) -> None:
        """Remove from the gradient what is not allowed."""
        gradient = cast(Tensor, self.parameter.grad)
        gradient.copy_(self._projected(gradient))

    @torch.no_grad()
    def project_change(self) -> None:
        """Remove what is not allowed from what has changed since the phase began."""
        self._start = self._start.to(self.parameter.device)  # the phase may have moved since it began
        self.parameter.copy_(self._start + self._projected(self.parameter - self._start))

    def _projected(self, change: Tensor) -> Tensor:
        self._directions = tuple(directions.to(change) for directions in self._directions)
        if self._transposed:
            return self._allowed(change.T, *self._directions).T
        return self._allowed(change, *self._directions)
