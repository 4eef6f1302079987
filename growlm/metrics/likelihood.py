"""How likely a causal language model finds given tokens or texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from growlm.data.batches import length_batches, padded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Window:
    """Tokens of which those from ``first`` on are scored; the ones before are only read."""

    tokens: list[int]
    first: int = 1


def window_nats(model: Any, windows: Sequence[Window]) -> list[float]:
    """Compute -ln p of each window's scored tokens in one forward pass.

    Windows are padded on the right, where causal attention cannot see the padding.

    Args:
        model: any causal language model whose output has ``logits`` [B, T, V].
        windows: what is scored; windows of like length waste least.

    Returns:
        The sum over each window's scored tokens, in nats.
    """
    device = next(model.parameters()).device
    tokens_BT, mask_BT = padded([window.tokens for window in windows], 0)
    firsts_B = torch.tensor([window.first for window in windows])
    scored_BT = mask_BT.bool() & (torch.arange(mask_BT.shape[1]) >= firsts_B[:, None])
    with torch.inference_mode():
        logits_BTV: Tensor = model(input_ids=tokens_BT[:, :-1].to(device)).logits
        targets_BT, kept_BT = tokens_BT[:, 1:].to(device), scored_BT[:, 1:].to(device)
        # row by row: no fp32 copy of all logits
        rows = zip(logits_BTV, targets_BT, kept_BT, strict=True)
        return [_nats(logits_TV[kept_T], target_T[kept_T]) for logits_TV, target_T, kept_T in rows]


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
    start: Any = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    encoded: Any = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    windows = [Window([start, *ids]) for ids in encoded]
    nats = [0.0] * len(windows)
    for batch in length_batches([len(window.tokens) for window in windows], batch_size):
        for i, value in zip(batch, window_nats(model, [windows[i] for i in batch]), strict=True):
            nats[i] = value
    return nats


def _nats(logits_TV: Tensor, target_T: Tensor) -> float:
    losses = torch.nn.functional.cross_entropy(logits_TV.float(), target_T, reduction="none")
    return float(losses.double().sum())
