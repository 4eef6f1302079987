"""Muon: momentum whose update is made nearly orthogonal, for matrices.

Shapes: O output dim, I input dim.
"""

from collections.abc import Callable, Iterable
from math import sqrt
from typing import Any

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic: singular values near 0 grow fastest
_ITERATIONS = 5
_SMALLEST_NORM = 1e-7


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon), with Nesterov momentum.

    ``torch.optim.Muon`` always iterates in bf16, which a CPU that does not multiply bf16 emulates, tens of times
    slower than fp32. This one has a choice; in bf16 its steps are those of torch.

    Args:
        params: matrices, [O, I] each.
        lr: learning rate of a square matrix; one with more rows than columns has it times the root of their ratio.
        weight_decay: decoupled weight decay.
        momentum: decay of the mean of gradients.
        dtype: the type of numbers in which updates are made orthogonal.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step, after a call of the closure if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._update(matrix, matrix.grad, group)
        return loss

    def _update(self, matrix: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        mean = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        update = orthogonalize(gradient.lerp(mean, group["momentum"]), self._dtype)
        num_out, num_in = matrix.shape
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        matrix.add_(update, alpha=-group["lr"] * sqrt(max(1, num_out / num_in)))


def orthogonalize(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """Move a matrix's singular values near 1 by five Newton-Schulz iterations of a quintic (Jordan et al., 2024).

    Args:
        matrix: [O, I].
        dtype: the type of numbers of the iterations and of the result.

    Returns:
        The matrix with the same singular vectors and values between about 0.5 and 1.5.
    """
    wide = matrix.to(dtype, copy=True)
    if matrix.shape[0] > matrix.shape[1]:
        wide = wide.T
    wide.div_(wide.norm().clamp(min=_SMALLEST_NORM))
    first, third, fifth = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=third, alpha=fifth), wide, beta=first)
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide
