"""Answers that only repeat themselves are ended; all others go on."""

import pytest
import torch

from growlm.stack.loops import LONGEST_PERIOD, WINDOW, LoopStop, in_loop


@pytest.mark.parametrize("period", [1, 3, LONGEST_PERIOD])
def test_a_repeated_sequence_is_a_loop_once_it_fills_the_window(period: int) -> None:
    loop = torch.arange(period).repeat(WINDOW)[: WINDOW + 20]
    begun = torch.cat([torch.tensor([90, 91, 92]), loop])
    ends = WINDOW + (2 if period == 1 else 3)  # a single other token before one that repeats makes two kinds
    for length in range(1, len(begun) + 1):
        assert in_loop(begun[None, :length]).item() is (length >= ends), length


def test_rows_are_told_apart() -> None:
    loop = torch.arange(2).repeat(WINDOW)
    nearly = loop.clone()
    nearly[-10] = 7
    longer = torch.arange(LONGEST_PERIOD + 1).repeat(WINDOW)[: len(loop)]
    assert in_loop(torch.stack([loop, nearly, longer])).tolist() == [True, False, False]


def test_two_tokens_in_any_order_are_a_loop_and_three_are_none() -> None:
    draw = torch.Generator().manual_seed(0)
    two = 5 + 4 * torch.randint(2, (WINDOW,), generator=draw)
    three = two.clone()
    three[WINDOW // 2] = 7
    assert in_loop(torch.stack([two, three])).tolist() == [True, False]


def test_what_the_prompt_repeats_does_not_count() -> None:
    tokens = torch.zeros(1, 2 * WINDOW, dtype=torch.long)
    assert LoopStop(0)(tokens, None).tolist() == [True]
    assert LoopStop(WINDOW + 1)(tokens, None).tolist() == [False]
