"""A memory of contexts and the tokens that followed them, beside the output embedding.

Khandelwal et al. 2020, "Generalization through Memorization: Nearest Neighbor Language Models" (arXiv 1911.00172),
eq. 2 and 3. With h a final hidden state and (k_i, w_i) the ``top_k`` entries of the least distance d_i = ‖h - k_i‖²,

    p_near(w) = sum over w_i = w of exp(-d_i / T) / sum over all of exp(-d_i / T)
    p(w)      = λ p_near(w) + (1 - λ) p_base(w)

Their keys are the inputs of the last feed-forward part; here they are the final hidden states, which the output
embedding gets, so that a memory needs nothing but its own site. λ and T are the module's only numbers that a gradient
changes. A new memory is empty and changes nothing. While λ and T are trained, the nearest entry is left out: it is
mostly the very token that is predicted. Proved by tests/golden/test_knn_lm.py and tests/contracts/test_every_module.py.

Shapes: E entries, D hidden, V vocabulary, N tokens, K entries that are read.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from growlm.base.architecture import Architecture
from growlm.errors import GrowlmError, check_at_least
from growlm.modules.kind import ModuleKind
from growlm.modules.site import Part

_DIGITS = 256 ** torch.arange(3)
_MOST_DISTANCES = 2**22


class NearestPart(Part):
    """The memory.

    Entries are held in whatever the base is held in. A token is written as three digits to the base 256, which every
    such type holds exactly; an entry whose key is zero is empty. Entries are parameters without a gradient: so they are
    counted in what the module holds.

    Args:
        capacity: for how many entries there is room, E.
        width: D.
        top_k: K.
        weight: λ at first.
    """

    mergeable = False

    def __init__(self, capacity: int, width: int, top_k: int, weight: float) -> None:
        super().__init__()
        self.keys = nn.Parameter(torch.zeros(capacity, width), requires_grad=False)
        self.values = nn.Parameter(torch.zeros(capacity, len(_DIGITS)), requires_grad=False)
        self.weight = nn.Parameter(torch.full((1,), math.log(weight / (1 - weight))))
        self.temperature = nn.Parameter(torch.zeros(1))
        self.top_k = top_k

    @torch.no_grad()
    def write(self, keys_ED: Tensor, tokens_E: Tensor) -> None:
        """Replace all entries.

        Args:
            keys_ED: final hidden states, at most as many as there is room for, [E, D].
            tokens_E: the tokens that followed them, [E].
        """
        self.keys.zero_()[: len(keys_ED)] = keys_ED.to(self.keys)
        digits_E3 = tokens_E[:, None] // _DIGITS.to(tokens_E.device) % 256
        self.values.zero_()[: len(tokens_E)] = digits_E3.to(self.values)

    def entries(self) -> tuple[Tensor, Tensor]:
        """Return the keys, [E, D] in fp32, and the tokens, [E], of the entries that are not empty."""
        filled_E = self.keys.any(1)
        digits_E3 = self.values[filled_E].round().clamp(0, 255).long()  # they may come from anyone's file
        return self.keys[filled_E].float(), digits_E3 @ _DIGITS.to(digits_E3.device)

    def forward(self, inputs: Tensor, output: Tensor) -> Tensor:
        """Mix what followed the nearest contexts into the prediction.

        Args:
            inputs: final hidden states, [..., D].
            output: logits so far, [..., V].

        Returns:
            Log-probabilities, [..., V]; the logits themselves if the memory is empty.
        """
        keys_ED, tokens_E = self.entries()
        if not len(tokens_E):
            return output
        tokens_E = tokens_E.clamp(max=output.shape[-1] - 1)
        with torch.autocast(output.device.type, enabled=False):  # distances are differences of large numbers
            hidden_ND, logits_NV = inputs.flatten(0, -2).float(), output.flatten(0, -2).float()
            piece = max(1, _MOST_DISTANCES // len(tokens_E))
            mixed = [
                self._mix(*given, keys_ED, tokens_E)
                for given in zip(hidden_ND.split(piece), logits_NV.split(piece), strict=True)
            ]
        return torch.cat(mixed).view_as(output).to(output.dtype)

    def _mix(self, hidden_ND: Tensor, logits_NV: Tensor, keys_ED: Tensor, tokens_E: Tensor) -> Tensor:
        first = int(self.training and torch.is_grad_enabled() and len(tokens_E) > 1)
        distances_NK, places_NK = nearest(hidden_ND, keys_ED, self.top_k + first)
        scores_NK = -distances_NK[:, first:] / self.temperature.exp()
        near_NV = torch.zeros_like(logits_NV).scatter_add(1, tokens_E[places_NK[:, first:]], scores_NK.softmax(-1))
        log_near_NV = near_NV.clamp_min(torch.finfo(near_NV.dtype).tiny).log()
        log_weight, log_rest = nn.functional.logsigmoid(self.weight), nn.functional.logsigmoid(-self.weight)
        return torch.logaddexp(log_weight + log_near_NV, log_rest + logits_NV.log_softmax(-1))


def nearest(hidden_ND: Tensor, keys_ED: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Find the nearest keys.

    Args:
        hidden_ND: what they are to be near to, [N, D].
        keys_ED: the keys, [E, D].
        count: K, how many.

    Returns:
        Their squared distances, the nearest first, and their numbers; both [N, K], with fewer if there are fewer.
    """
    squares_NE = hidden_ND.square().sum(1)[:, None] - 2 * hidden_ND @ keys_ED.T + keys_ED.square().sum(1)
    return squares_NE.clamp_min(0).topk(min(count, len(keys_ED)), largest=False)


@dataclass(frozen=True)
class Nearest(ModuleKind):
    """A memory of contexts and the tokens that followed them, read by distance.

    Args:
        capacity: E, how many entries it has room for.
        top_k: K, how many of the nearest are read.
        weight: λ at first, the share of the memory in a prediction.
    """

    any_weights = True
    per_token = True
    holds_examples = True
    per_layer = True

    capacity: int = 8192
    top_k: int = 64
    weight: float = 0.25

    def __post_init__(self) -> None:
        for option, value in (("capacity", self.capacity), ("top_k", self.top_k)):
            check_at_least(f"nearest {option}", value, 1)
        if not 0 < self.weight < 1:
            raise GrowlmError(f"nearest weight {self.weight} is not a share between 0 and 1")

    def build(self, architecture: Architecture, num_blocks: int, generator: torch.Generator | None) -> dict[str, Part]:
        """Build the memory at the output embedding; see ``ModuleKind.build``."""
        _, outputs = architecture.embeddings()
        _, width = architecture.embedding_shape(outputs)
        return {outputs: NearestPart(self.capacity, width, self.top_k, self.weight)}
