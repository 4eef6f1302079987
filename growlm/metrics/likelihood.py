"""How likely a causal language model finds given tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """Tokens of which those from ``first`` on are scored; the ones before are only read."""

    tokens: list[int]
    first: int = 1


def window_nats(model: Any, windows: Sequence[Window]) -> list[float]:
    """Computes -ln p of each window's scored tokens in one forward pass.

    Windows are padded on the right, where causal attention cannot see the padding.

    Args:
        model: any causal language model whose output has ``logits`` [B, T, V].
        windows: what is scored; windows of like length waste least.

    Returns:
        The sum over each window's scored tokens, in nats.
    """
    device = next(model.parameters()).device
    length = max(len(window.tokens) for window in windows)
    tokens_BT = torch.zeros(len(windows), length, dtype=torch.long)
    scored_BT = torch.zeros(len(windows), length, dtype=torch.bool)
    for row, window in enumerate(windows):
        tokens_BT[row, : len(window.tokens)] = torch.tensor(window.tokens)
        scored_BT[row, window.first : len(window.tokens)] = True
    with torch.inference_mode():
        logits_BTV: Tensor = model(input_ids=tokens_BT[:, :-1].to(device)).logits
        targets_BT, kept_BT = tokens_BT[:, 1:].to(device), scored_BT[:, 1:].to(device)
        # row by row: no fp32 copy of all logits
        rows = zip(logits_BTV, targets_BT, kept_BT, strict=True)
        return [_nats(logits_TV[kept_T], target_T[kept_T]) for logits_TV, target_T, kept_T in rows]


def _nats(logits_TV: Tensor, target_T: Tensor) -> float:
    losses = torch.nn.functional.cross_entropy(logits_TV.float(), target_T, reduction="none")
    return float(losses.double().sum())
