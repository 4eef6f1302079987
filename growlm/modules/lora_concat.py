"""Low-rank changes side by side at every linear, each with a coefficient: W x + s sum_i c_i B_i A_i x.

Prabhakar et al. 2024, "LoRA Soups: Merging LoRAs for Practical Skill Composition Tasks" (arXiv 2410.13025): CAT, the
concatenation of LoRAs. With A the rows of all A_i and B the columns of all c_i B_i it is one low-rank change of rank
K R, and so merges into the weight. Every linear has coefficients of its own; new ones are 1. Initial values as of the
kind ``lora``. Proved by tests/golden/test_cat.py and tests/contracts/test_every_module.py.

Shapes: B batch, T tokens, K changes, R rank of each, I input dim, O output dim.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from growlm.base.architecture import Architecture
from growlm.errors import check_at_least
from growlm.modules.kind import ModuleKind, uniform
from growlm.modules.site import Part


class LoraConcatPart(Part):
    """The changes of one linear.

    Args:
        in_features: I.
        out_features: O.
        count: K.
        rank: R.
        scale: what every B_i A_i x is multiplied by.
        generator: source of the initial values of every A_i; every B_i begins at zero.

    Attributes:
        learns: what a pass trains, for a method that trains one after the other: the factors of the ``newest`` change,
            which is then computed alone and with a coefficient of 1, the ``coefficients`` of all, or ``everything``.
    """

    learns: Literal["everything", "newest", "coefficients"] = "everything"

    def __init__(
        self,
        in_features: int,
        out_features: int,
        count: int,
        rank: int,
        scale: float,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        # a tensor for each change, so that a module of more changes continues one of fewer
        self.A = nn.ParameterList([uniform(rank, in_features, generator) for _ in range(count)])
        self.B = nn.ParameterList([torch.zeros(out_features, rank) for _ in range(count)])
        self.coefficients = nn.ParameterList([torch.ones(1) for _ in range(count)])
        self.scale = scale

    def forward(self, inputs: Tensor, output: Tensor) -> Tensor:
        """Add the changes.

        Args:
            inputs: the linear's input, [B, T, I].
            output: its output so far, [B, T, O].

        Returns:
            The new output, [B, T, O].
        """
        a_QI, b_OQ = self._factors()
        return output + self.scale * nn.functional.linear(nn.functional.linear(inputs, a_QI), b_OQ)

    def delta_weight(self) -> Tensor:
        """Compute s sum_i c_i B_i A_i, [O, I]."""
        a_QI, b_OQ = self._factors()
        return self.scale * (b_OQ @ a_QI)

    def _factors(self) -> tuple[Tensor, Tensor]:
        """Return A, [Q, I], and B, [O, Q], with Q = K R, or R for the newest change alone."""
        if self.learns == "newest":
            return self.A[-1], self.B[-1]
        weighted = [b_OR * coefficient for b_OR, coefficient in zip(self._read(self.B), self.coefficients, strict=True)]
        return torch.cat(self._read(self.A)), torch.cat(weighted, 1)

    def _read(self, factors: nn.ParameterList) -> list[Tensor]:
        return [factor.detach() if self.learns == "coefficients" else factor for factor in factors]


@dataclass(frozen=True)
class LoraConcat(ModuleKind):
    """Low-rank changes of the base's linears, several side by side, each with a coefficient per linear.

    Args:
        count: K, how many changes every linear has.
        rank: R, the rank of every change.
        alpha: scale of the changes, divided by the rank; None: twice the rank.
        target_modules: names of the linears, such as q_proj; None: all linears of the layers.
    """

    any_weights = True
    per_token = True  # not per_layer: a method changes within a step what is computed

    count: int = 2
    rank: int = 8
    alpha: float | None = None
    target_modules: list[str] | None = None

    def __post_init__(self) -> None:
        for option, value in (("count", self.count), ("rank", self.rank)):
            check_at_least(f"lora_concat {option}", value, 1)

    def build(self, architecture: Architecture, num_blocks: int, generator: torch.Generator | None) -> dict[str, Part]:
        """Build the changes of every matching linear; see ``ModuleKind.build``."""
        scale = (2 * self.rank if self.alpha is None else self.alpha) / self.rank
        parts: dict[str, Part] = {}
        for site in architecture.linear_sites(self.target_modules, range(architecture.num_layers)):
            out_features, in_features = architecture.linear_shape(site)
            parts[site] = LoraConcatPart(in_features, out_features, self.count, self.rank, scale, generator)
        return parts
