"""Answers that only repeat themselves are ended, and those that the limit would break off; all others go on."""

from pathlib import Path
from typing import Any

import pytest
import torch

from growlm.base.load import load_tokenizer
from growlm.stack.stopping import LONGEST_PERIOD, WINDOW, LoopStop, SentenceStop, answer_endings, ends_sentence, in_loop


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


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("Tom sat down.", True),
        ("Tom sat down. ", True),
        ('"Sit down!" said Tom', False),
        ('Tom said: "Sit down."', True),
        ('Tom said: "Sit down.', False),  # a quotation is open
        ("Tom sat (at last?)", True),
        ("3.5", False),
        ("", False),
    ],
)
def test_a_sentence_ends_with_its_sign_and_its_quotation(text: str, ends: bool) -> None:
    assert ends_sentence(text) is ends


def test_late_answers_end_with_their_sentence(tiny_bases: dict[str, Path]) -> None:
    tokenizer: Any = load_tokenizer(str(tiny_bases["llama"]))
    ids = [tokenizer(text, add_special_tokens=False).input_ids for text in ("He ran. He sat.", "He ran. He sat on it.")]
    length = len(ids[0])
    rows = torch.tensor([[3, *row[:length]] for row in ids])
    assert SentenceStop(tokenizer, 1, 1 + length)(rows, None).tolist() == [True, False]
    assert SentenceStop(tokenizer, 1, 2 + length)(rows, None).tolist() == [False, False]


def test_an_answer_may_end_with_its_sentence_in_the_last_fifth(tiny_bases: dict[str, Path]) -> None:
    _, sentence = answer_endings(load_tokenizer(str(tiny_bases["llama"])), num_prompt=10, max_new_tokens=200)
    assert isinstance(sentence, SentenceStop)
    assert (sentence.num_prompt, sentence.begin) == (10, 170)
