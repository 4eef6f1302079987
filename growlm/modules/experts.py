"""Progressive experts: low-rank experts in the deep layers, weighed by one router between shallow and deep layers.

After Jung and Kim 2024, "PMoE: Progressive Mixture of Experts with Asymmetric Transformer for Continual Learning"
(arXiv 2407.21571). From its abstract: experts of the LoRA kind are added one by one as skills arrive, in the deep
layers only, and one router beside them sends each input to the fitting ones; its weights are a softmax. The full text
was not to be had, and the rest is growlm's own: where the boundary is, which linears an expert changes, what the router
reads and how a gate begins. A module is one expert, in every deep layer, and one gate, a column of the router's matrix;
older experts and gates are older modules, frozen. With x the hidden state after the last shallow layer,

    l_k = w_k · x / rms(x) + b_k,        y = W z + s sum_k weight_k B_k A_k z,

where z is what a deep linear reads and weight_k is that of ``_mixture.py``, by which all deep layers go. A gate begins
at zero, and a new module changes no bit of what older ones compute: as ``softmax`` it takes over a column of logit 0
that the router had from the beginning, and B begins at zero; as ``gated`` its weight is exactly zero, and B begins at
random, for with both at zero neither would have a gradient.

The logits are those of each token, or the mean over the tokens up to it, which is as good as one weight per sequence
and needs nothing that a cached pass has not got: the sums wait in a cache slot of the module's own. Experts without any
weight in a pass are not run, and with ``top_k`` each runs for those tokens only where it is among the first.
Proved by tests/golden/test_experts.py and tests/contracts/test_every_module.py.

Shapes: B batch, T tokens, D hidden, R rank, I input dim, O output dim, N tokens of the batch that are looked at.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer

from growlm.base.architecture import Architecture
from growlm.errors import GrowlmError, check_at_least
from growlm.modules._mixture import Mixture, MixtureSpec
from growlm.modules._mixture import Weighting as Weighting  # also named by the method that grows experts
from growlm.modules.context import ForwardContext
from growlm.modules.kind import ModuleKind, uniform
from growlm.modules.site import Part

_EPSILON = 1e-6


def num_shallow_layers(num_layers: int, boundary: float) -> int:
    """Compute how many layers are below the boundary.

    Args:
        num_layers: how many layers there are, 2 or more.
        boundary: the boundary's place, as a share of the depth.

    Returns:
        The share rounded to layers, at least one and not all.
    """
    return min(max(round(boundary * num_layers), 1), num_layers - 1)


def mixture_at(context: ForwardContext, spec: MixtureSpec) -> Mixture:
    """Return the mixture of a spec in a stack.

    Args:
        context: what the sites of the model share.
        spec: the mixture's spec.
    """
    mixture: Mixture = context.shared_values.setdefault(f"experts/{spec}", Mixture(context, spec))
    return mixture


class GatePart(Part):
    """One gate of the router, read from the hidden states after the last shallow layer.

    Args:
        width: D.
        spec: the mixture that it belongs to.
        top_k: run the experts for tokens only where their weight is among the ``top_k`` largest; None:
            wherever it is not zero.
        cache_slot: where the sums over a sequence wait, if the mean over it counts; None: each token for itself.
    """

    mergeable = False

    def __init__(self, width: int, spec: MixtureSpec, top_k: int | None, cache_slot: int | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))
        self.bias = nn.Parameter(torch.zeros(1))
        self.spec = spec
        self.top_k = top_k
        self.cache_slot = cache_slot

    def forward(self, inputs: Tensor, output: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Note the gate's logits for the experts; change nothing.

        Args:
            inputs: the site's input, not used.
            output: hidden states after the last shallow layer, [B, T, D].
            *args: what the site's layer got besides (mask, positions, cache).
            **kwargs: likewise.

        Returns:
            The hidden states as they are.
        """
        hidden_BTD = output.float()
        scaled_BTD = hidden_BTD * (hidden_BTD.square().mean(-1, keepdim=True) + _EPSILON).rsqrt()
        # a product and a sum: one row's logits are the same bits in whichever batch
        logits_BT = (scaled_BTD * self.weight.float()).sum(-1) + self.bias.float()
        if self.cache_slot is not None:
            cache = next((value for value in (*args, *kwargs.values()) if isinstance(value, Cache)), None)
            logits_BT = self._running_mean(logits_BT, cache, self.cache_slot)
        mixture_at(self.context, self.spec).note(self.owner, logits_BT, self.top_k, self.training)
        return output

    def logits(self) -> Tensor:
        """Return the gate's logits in the last pass with its module active, [B, T]."""
        return mixture_at(self.context, self.spec).logits(self.owner)

    def mean_logits(self, lengths_B: Tensor) -> Tensor:
        """Compute the mean of each row's logits in the last pass over the row's tokens.

        Args:
            lengths_B: how many of a row are tokens, the rest being padding on the right, [B].

        Returns:
            The means, [B].
        """
        logits_BT = self.logits()
        if self.cache_slot is not None:  # means already
            return logits_BT.gather(1, lengths_B[:, None] - 1)[:, 0]
        is_token_BT = torch.arange(logits_BT.shape[1], device=lengths_B.device) < lengths_B[:, None]
        return (logits_BT * is_token_BT).sum(1) / lengths_B

    def _running_mean(self, logits_BT: Tensor, cache: Cache | None, slot: int) -> Tensor:
        """Compute the mean over the tokens up to each, those of earlier passes that the cache tells of included."""
        mask, length = self.context.mask, logits_BT.shape[1]
        ones_BT = torch.ones_like(logits_BT)
        if mask is not None and mask.dim() == 2:
            ones_BT = mask[:, -length:].to(ones_BT)
        sums_B1T1, counts_B1T1 = ((values * ones_BT).cumsum(1)[:, None, :, None] for values in (logits_BT, ones_BT))
        if cache is not None:
            past = _past(cache, slot)
            if past is not None:
                sums_B1T1, counts_B1T1 = sums_B1T1 + past[0], counts_B1T1 + past[1]
            cache.update(sums_B1T1, counts_B1T1, slot)
        return (sums_B1T1 / counts_B1T1.clamp_min(1))[:, 0, :, 0]


class ExpertPart(Part):
    """The expert of one module at one deep linear.

    Args:
        in_features: I.
        out_features: O.
        rank: R.
        scale: what B A z is multiplied by.
        spec: the mixture that it belongs to.
        generator: source of the initial values.
    """

    mergeable = False

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rank: int,
        scale: float,
        spec: MixtureSpec,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.A = nn.Parameter(uniform(rank, in_features, generator))
        # a softmax's weight is never zero, so what it weighs has to be
        softmax = spec.weighting == "softmax"
        self.B = nn.Parameter(torch.zeros(out_features, rank) if softmax else uniform(out_features, rank, generator))
        self.scale = scale
        self.spec = spec

    def forward(self, inputs: Tensor, output: Tensor) -> Tensor:
        """Add the expert's change by its weight.

        Args:
            inputs: the linear's input, [B, T, I].
            output: its output so far, [B, T, O].

        Returns:
            The new output, [B, T, O].
        """
        share = mixture_at(self.context, self.spec).share(self.owner)
        if share.tokens is None:  # some bases show a linear all tokens of a batch in one row
            weight = share.weight.reshape(*inputs.shape[:-1], 1)
            return output + (weight * self._change(inputs)).to(output.dtype)
        if not len(share.tokens):
            return output
        weight_N1 = share.weight.flatten()[share.tokens, None]
        change_NO = weight_N1 * self._change(inputs.flatten(0, -2)[share.tokens])
        changed = output.flatten(0, -2).index_add(0, share.tokens, change_NO.to(output.dtype))
        return changed.view_as(output)

    def delta_weight(self) -> Tensor:
        """Compute s B A, [O, I]: the change where the expert's weight is 1."""
        return self.scale * (self.B @ self.A)

    def _change(self, inputs: Tensor) -> Tensor:
        low = nn.functional.linear(inputs, self.A)
        return self.scale * nn.functional.linear(low, self.B)


@dataclass(frozen=True)
class Experts(ModuleKind):
    """An expert in the deep layers' feed-forward linears and a gate of the router before them.

    Args:
        rank: R, the rank of the expert's change of every linear.
        alpha: scale of the change, divided by the rank; None: twice the rank.
        boundary: share of the layers that are shallow. Experts of different boundaries, mixtures or num_experts have
            mixtures of their own.
        per: whether a ``token``'s weight comes from that token, or from all of the ``sequence`` up to it.
        attention: change the attention's linears too; so it is where a layer has no feed-forward linears.
        top_k: once trained, run the expert for tokens only where its weight is among the ``top_k`` largest;
            None: wherever it is not zero.
        mixture: how logits become weights: ``softmax`` over num_experts columns, or ``gated``, where an expert that is
            not preferred to the bare base has a weight of exactly zero.
        num_experts: how many columns a softmax has from the beginning, at least one of them for the bare base.
    """

    any_weights = True

    rank: int = 8
    alpha: float | None = None
    boundary: float = 0.75
    per: Literal["token", "sequence"] = "sequence"
    attention: bool = False
    top_k: int | None = None
    mixture: Weighting = "gated"  # what modules of version 0.1.0, whose records do not name it, were trained with
    num_experts: int = 16

    def __post_init__(self) -> None:
        check_at_least("experts rank", self.rank, 1)
        if not 0 < self.boundary < 1:
            raise GrowlmError(f"experts boundary {self.boundary} is not a share of the depth: give one between 0 and 1")
        if self.per not in ("token", "sequence"):
            raise GrowlmError(f"experts cannot be weighed per {self.per!r}: give 'token' or 'sequence'")
        if self.top_k is not None:
            check_at_least("experts top_k", self.top_k, 1, otherwise="null for all")
        if self.mixture not in ("softmax", "gated"):
            raise GrowlmError(f"experts mixture {self.mixture!r} is unknown: give 'softmax' or 'gated'")
        check_at_least("experts num_experts", self.num_experts, 2)

    def build(self, architecture: Architecture, num_blocks: int, generator: torch.Generator | None) -> dict[str, Part]:
        """Build a gate and an expert for every deep linear; see ``ModuleKind.build``."""
        if architecture.num_layers < 2:
            raise GrowlmError("experts need a base with shallow and deep layers, and this one has a single layer")
        boundary = num_shallow_layers(architecture.num_layers, self.boundary)
        spec = MixtureSpec(boundary, self.mixture, self.num_experts if self.mixture == "softmax" else 0)
        slot = architecture.num_layers + num_blocks if self.per == "sequence" else None
        width = int(architecture.config.hidden_size)
        parts: dict[str, Part] = {architecture.layer_site(boundary - 1): GatePart(width, spec, self.top_k, slot)}
        scale = (2 * self.rank if self.alpha is None else self.alpha) / self.rank
        for layer in range(boundary, architecture.num_layers):
            sites = [] if self.attention else architecture.feed_forward_sites(layer)
            for site in sites or architecture.linear_sites(None, [layer]):
                out_features, in_features = architecture.linear_shape(site)
                parts[site] = ExpertPart(in_features, out_features, self.rank, scale, spec, generator)
        return parts


def _past(cache: Cache, slot: int) -> tuple[Tensor, Tensor] | None:
    """Return the sums and counts up to the last token that a cache has seen, each [B, 1, 1, 1]."""
    layer = cache.layers[slot] if slot < len(cache.layers) else None
    if layer is None:
        return None
    if not isinstance(layer, DynamicLayer):
        raise GrowlmError(
            f"experts per sequence cannot wait in a {type(layer).__name__}: use transformers' DynamicCache"
        )
    sums, counts = layer.keys, layer.values
    return None if sums is None or counts is None or not sums.numel() else (sums[:, :, -1:], counts[:, :, -1:])
