"""A change in the free singular directions of a weight: ΔW = s Q_u M Q_vᵀ, with only M trained.

After OSFT (Nayak et al. 2025, arXiv 2504.07097) in the factor form of its maintained code, with free coordinates: the
code trains low-rank factors that a projection has to bring back after every step, because Adam turns even a projected
gradient into the preserved directions. Here Q_u [O, F] and Q_v [I, F'] are fixed orthonormal bases of the free
directions, so that U_hᵀ ΔW = 0 and ΔW V_h = 0 whatever the optimizer does, its momentum and weight decay included.

The scale s = √(O I / (F F')) makes a step of Adam, which moves all trained numbers alike, change W by as much as if all
of W were trained at the same learning rate (Frobenius norm).

Of a weight of O x I with O > I only the I directions to which it writes are decomposed; the O - I others are its null
space, which ``null_space`` frees too. It is off by default: the maintained code starts in the same directions, and the
bases of the null space would be larger than the weight. Biases are never changed.

Q_u and Q_v are buffers: stored with the module, never trained. Proved by tests/golden/test_subspace.py and
tests/contracts/test_every_module.py.

Shapes: N tokens of a batch, B batch, T tokens, O output dim, I input dim, F and F' free directions.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from growlm.base.architecture import Architecture
from growlm.errors import GrowlmError
from growlm.modules.directions import free_directions, linear_weight, num_free, num_preserved
from growlm.modules.kind import ModuleKind
from growlm.modules.site import Part


class _ThroughWeight(torch.autograd.Function):
    """y = (W + s Q_u M Q_vᵀ) x + b with gradients of x and M; the changed weight is computed again, not kept."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, M: Tensor, weight_OI: Tensor, bias: Tensor | None, Q_u: Tensor, Q_v: Tensor, s: float
    ) -> Tensor:
        device = inputs.device.type
        ctx.autocast = (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))
        ctx.scale = s
        ctx.save_for_backward(inputs.flatten(0, -2) @ Q_v, M, weight_OI, Q_u, Q_v)
        return nn.functional.linear(inputs, _changed(weight_OI, M, Q_u, Q_v, s), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        free_NF, M, weight_OI, Q_u, Q_v = ctx.saved_tensors
        device, dtype, enabled = ctx.autocast
        with torch.autocast(device, dtype, enabled):
            asked = ctx.needs_input_grad[0]
            inputs_grad = grad @ _changed(weight_OI, M, Q_u, Q_v, ctx.scale) if asked else None
            M_grad = ctx.scale * ((grad.flatten(0, -2) @ Q_u).T @ free_NF)
        return inputs_grad, M_grad, None, None, None, None, None


def _changed(weight_OI: Tensor, M: Tensor, Q_u: Tensor, Q_v: Tensor, s: float) -> Tensor:
    """Compute W + s Q_u M Q_vᵀ in full precision: a small M must not be rounded away before it is added."""
    with torch.autocast(weight_OI.device.type, enabled=False):
        return torch.addmm(weight_OI, Q_u, s * M @ Q_v.T)


class SubspacePart(Part):
    """The change of one linear in its free directions.

    Args:
        out_features: O.
        in_features: I.
        free_outputs: columns of Q_u.
        free_inputs: columns of Q_v.
    """

    Q_u: Tensor
    Q_v: Tensor

    def __init__(self, out_features: int, in_features: int, free_outputs: int, free_inputs: int) -> None:
        super().__init__()
        self.register_buffer("Q_u", torch.zeros(out_features, free_outputs))
        self.register_buffer("Q_v", torch.zeros(in_features, free_inputs))
        self.M = nn.Parameter(torch.zeros(free_outputs, free_inputs))
        self.scale = math.sqrt(out_features * in_features / (free_outputs * free_inputs))
        # multiplications to change the weight twice, and those that it spares a token
        change = 2 * free_outputs * in_features * (free_inputs + out_features)
        spared = 2 * free_outputs * free_inputs + free_outputs * out_features + free_inputs * in_features
        self._worth_it = change / spared

    def set_directions(self, Q_u_OF: Tensor, Q_v_IF: Tensor) -> None:
        """Set the free directions, orthonormal columns of the shapes that the part was built with."""
        self.Q_u.copy_(Q_u_OF)
        self.Q_v.copy_(Q_v_IF)

    def forward(self, inputs: Tensor, output: Tensor) -> Tensor:
        """Add the change.

        Args:
            inputs: the linear's input, [B, T, I].
            output: its output so far, [B, T, O].

        Returns:
            The new output, [B, T, O].
        """
        free_NF = nn.functional.linear(inputs.flatten(0, -2) @ self.Q_v, self.scale * self.M)
        return torch.addmm(output.flatten(0, -2), free_NF, self.Q_u.T).view_as(output)  # no copy of the change alone

    def fused_forward(self, layer: nn.Module, inputs: Tensor) -> Tensor | None:
        """Run a linear with its changed weight, in training if the batch has enough tokens for this to be cheaper.

        Every token then goes through W + ΔW and, for the gradient of M, through Q_v and Q_u once, instead of through W,
        Q_v, M and Q_u in both passes. Under autocast W + ΔW is rounded as in full fine-tuning.
        """
        trains = self.training and self.M.requires_grad and torch.is_grad_enabled()
        same_dtype = getattr(layer, "weight", self.M).dtype == self.M.dtype
        if not trains or not same_dtype or type(layer) is not nn.Linear or inputs[..., 0].numel() < self._worth_it:
            return None
        output: Tensor = _ThroughWeight.apply(inputs, self.M, layer.weight, layer.bias, self.Q_u, self.Q_v, self.scale)
        return output

    def delta_weight(self) -> Tensor:
        """Compute s Q_u M Q_vᵀ, [O, I]."""
        return self.Q_u @ (self.scale * self.M) @ self.Q_v.T


@dataclass(frozen=True)
class Subspace(ModuleKind):
    """Changes of the base's linears in their free singular directions.

    Args:
        preserve_ratio: share of every linear's singular directions that is preserved, largest singular values first.
        preserved: instead, how many directions are preserved, by the linear's path in the base; others are no targets.
        target_modules: names of the linears, such as q_proj; None: all linears of the layers.
        null_space: free the null space of the longer side of rectangular weights too.
        directions: whose directions they are: of the ``base``'s own weights, or set by the ``method`` when a phase
            begins.
    """

    per_token = True
    per_layer = True
    encoder_decoder = True

    preserve_ratio: float = 0.75
    preserved: dict[str, int] | None = None
    target_modules: list[str] | None = None
    null_space: bool = False
    directions: Literal["base", "method"] = "base"

    def __post_init__(self) -> None:
        if not 0 <= self.preserve_ratio <= 1:
            raise GrowlmError(f"subspace preserve_ratio {self.preserve_ratio} is not between 0 and 1")
        if self.preserved is not None and self.target_modules is not None:
            raise GrowlmError("subspace preserved names its linears itself: leave target_modules out")

    def build(self, architecture: Architecture, num_blocks: int, generator: torch.Generator | None) -> dict[str, Part]:
        """Build a change for every linear that has free directions; see ``ModuleKind.build``."""
        parts: dict[str, Part] = {}
        for site, preserved in self._counts(architecture).items():
            shape = architecture.linear_shape(site)
            free = num_free(shape, preserved, self.null_space)
            if free == (0, 0):
                continue
            part = SubspacePart(*shape, *free)
            if self.directions == "base" and generator is not None:
                part.set_directions(
                    *free_directions(linear_weight(architecture.resolve(site)), preserved, self.null_space)
                )
            parts[site] = part
        if not parts:
            raise GrowlmError("subspace preserves every direction of every linear: nothing is left to train")
        return parts

    def _counts(self, architecture: Architecture) -> dict[str, int]:
        sites = architecture.linear_sites(self.target_modules, range(architecture.num_layers))
        if self.preserved is None:
            return {site: num_preserved(architecture.linear_shape(site), self.preserve_ratio) for site in sites}
        unknown = sorted(set(self.preserved) - set(sites))
        if unknown:
            raise GrowlmError(f"subspace preserved names {unknown[0]!r}, which is not a linear of this base's layers")
        return {site: self.preserved[site] for site in sites if site in self.preserved}
