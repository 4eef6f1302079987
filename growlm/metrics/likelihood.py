"""How likely a causal language model finds given tokens or texts.

Shapes: B batch, T tokens, N scored tokens of one window, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from growlm.data.batches import length_batches, padded
from growlm.data.encode import prompt_frame

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Window:
    """Tokens of which those from ``first`` on are scored; the ones before are only read."""

    tokens: list[int]
    first: int = 1


def window_nats(model: Any, windows: Sequence[Window]) -> list[float]:
    """Compute -ln p of each window's scored tokens in one forward pass.

    Args:
        model: any causal language model whose output has ``logits`` [B, T, V].
        windows: what is scored; windows of like length waste least.

    Returns:
        The sum over each window's scored tokens, in nats.
    """
    return [_nats(logits_NV, targets_N) for logits_NV, targets_N in scored_logits(model, windows)]


@torch.inference_mode()
def scored_logits(model: Any, windows: Sequence[Window]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield what a model predicts each window's scored tokens from, and these tokens, after one forward pass.

    Windows are padded on the right, where causal attention cannot see the padding.

    Args:
        model: any causal language model whose output has ``logits`` [B, T, V].
        windows: what is scored.

    Yields:
        Logits [N, V] in fp32 and targets [N] of a window's N scored tokens.
    """
    device = next(model.parameters()).device
    tokens_BT, mask_BT = padded([window.tokens for window in windows], 0)
    firsts_B = torch.tensor([window.first for window in windows])
    scored_BT = mask_BT.bool() & (torch.arange(mask_BT.shape[1]) >= firsts_B[:, None])
    logits_BTV: Tensor = model(input_ids=tokens_BT[:, :-1].to(device)).logits
    targets_BT, kept_BT = tokens_BT[:, 1:].to(device), scored_BT[:, 1:].to(device)
    # row by row: no fp32 copy of all logits
    for logits_TV, targets_T, kept_T in zip(logits_BTV, targets_BT, kept_BT, strict=True):
        yield logits_TV[kept_T].float(), targets_T[kept_T]


def text_nats(
    model: Any, tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], batch_size: int = 64
) -> list[float]:
    """Compute -ln p(text | start token) of each text; no end token is counted.

    Args:
        model: any causal language model whose output has ``logits`` [B, T, V].
        tokenizer: its tokenizer.
        texts: the texts.
        batch_size: texts per forward pass; texts of like length share one.

    Returns:
        Nats, in the order of the texts.
    """
    before, after = prompt_frame(tokenizer)
    lead = [*before, *after]
    encoded: Any = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    windows = [Window([*lead, *ids], len(lead)) for ids in encoded]
    nats = [0.0] * len(windows)
    for batch in length_batches([len(window.tokens) for window in windows], batch_size):
        for i, value in zip(batch, window_nats(model, [windows[i] for i in batch]), strict=True):
            nats[i] = value
    return nats


def _nats(logits_NV: Tensor, targets_N: Tensor) -> float:
    losses_N = torch.nn.functional.cross_entropy(logits_NV, targets_N, reduction="none")
    return float(losses_N.double().sum())
