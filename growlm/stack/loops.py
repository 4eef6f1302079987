"""Ending an answer that only repeats itself: greedy decoding never leaves such a loop by itself."""

from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria

WINDOW = 64
LONGEST_PERIOD = 8


class LoopStop(StoppingCriteria):
    """Ends a row of ``generate`` whose last ``WINDOW`` new tokens are a short sequence again and again, or two tokens.

    Args:
        num_prompt: tokens of the prompts, padding included; what they repeat does not count.
    """

    def __init__(self, num_prompt: int) -> None:
        self.num_prompt = num_prompt

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Tells which rows are in a loop.

        Args:
            input_ids: prompts and what was generated so far, [B, T].
            scores: not used.
            **kwargs: not used.

        Returns:
            Bool[B].
        """
        return in_loop(input_ids[:, self.num_prompt :])


def in_loop(tokens_BT: Tensor) -> Tensor:
    """Tells which rows end in ``WINDOW`` tokens of two kinds, or that repeat few of them, Bool[B]."""
    if tokens_BT.shape[1] < WINDOW:
        return torch.zeros(len(tokens_BT), dtype=torch.bool, device=tokens_BT.device)
    last_BW = tokens_BT[:, -WINDOW:]
    least_B1, greatest_B1 = last_BW.amin(dim=1, keepdim=True), last_BW.amax(dim=1, keepdim=True)
    found_B = ((last_BW == least_B1) | (last_BW == greatest_B1)).all(dim=1)
    for period in range(3, LONGEST_PERIOD + 1):  # shorter ones are of two kinds
        found_B |= (last_BW[:, period:] == last_BW[:, :-period]).all(dim=1)
    return found_B
