"""Ending an answer that the model does not end: one that only repeats itself, or one that the limit would break off."""

import re
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList

WINDOW = 64
LONGEST_PERIOD = 8
_SENTENCE_END = re.compile(r"""[.!?\u2026]["')\]\u201d\u2019]*\s*$""")


def answer_endings(tokenizer: Any, num_prompt: int, max_new_tokens: int) -> StoppingCriteriaList:
    """Return what ends an answer of ``generate``: ``LoopStop``, and ``SentenceStop`` for the last fifth of the tokens.

    Args:
        tokenizer: the base's tokenizer.
        num_prompt: tokens of the prompts, padding included.
        max_new_tokens: greatest number of tokens of an answer.
    """
    late = num_prompt + max_new_tokens - max_new_tokens // 5
    return StoppingCriteriaList([LoopStop(num_prompt), SentenceStop(tokenizer, num_prompt, late)])


class LoopStop(StoppingCriteria):
    """Ends a row of ``generate`` whose last ``WINDOW`` new tokens are a short sequence again and again, or two tokens.

    Args:
        num_prompt: tokens of the prompts, padding included; what they repeat does not count.
    """

    def __init__(self, num_prompt: int) -> None:
        self.num_prompt = num_prompt

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Return which rows are in a loop.

        Args:
            input_ids: prompts and what was generated so far, [B, T].
            scores: not used.
            **kwargs: not used.

        Returns:
            Bool[B].
        """
        return in_loop(input_ids[:, self.num_prompt :])


class SentenceStop(StoppingCriteria):
    """Ends a row of ``generate`` with its sentence, rather than let the limit of tokens break it off.

    Args:
        tokenizer: the base's tokenizer.
        num_prompt: tokens of the prompts, padding included.
        begin: number of tokens, the prompts' included, from which on rows are ended.
    """

    def __init__(self, tokenizer: Any, num_prompt: int, begin: int) -> None:
        self.tokenizer = tokenizer
        self.num_prompt = num_prompt
        self.begin = begin

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Return which rows end a sentence now.

        Args:
            input_ids: prompts and what was generated so far, [B, T].
            scores: not used.
            **kwargs: not used.

        Returns:
            Bool[B].
        """
        if input_ids.shape[1] < self.begin:
            return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        answers = self.tokenizer.batch_decode(input_ids[:, self.num_prompt :], skip_special_tokens=True)
        return torch.tensor([ends_sentence(answer) for answer in answers], device=input_ids.device)


def ends_sentence(text: str) -> bool:
    """Return whether a text ends with a sentence and no quotation is open."""
    return _SENTENCE_END.search(text) is not None and text.count('"') % 2 == 0


def in_loop(tokens_BT: Tensor) -> Tensor:
    """Return which rows end in ``WINDOW`` tokens of two kinds, or that repeat few of them, Bool[B]."""
    if tokens_BT.shape[1] < WINDOW:
        return torch.zeros(len(tokens_BT), dtype=torch.bool, device=tokens_BT.device)
    last_BW = tokens_BT[:, -WINDOW:]
    least_B1, greatest_B1 = last_BW.amin(dim=1, keepdim=True), last_BW.amax(dim=1, keepdim=True)
    found_B = ((last_BW == least_B1) | (last_BW == greatest_B1)).all(dim=1)
    for period in range(3, LONGEST_PERIOD + 1):  # shorter ones are of two kinds
        found_B |= (last_BW[:, period:] == last_BW[:, :-period]).all(dim=1)
    return found_B
