"""Choices after a prompt that is read once have the likelihood that they have after a prompt of their own."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from growlm.data.encode import encode
from growlm.data.example import Example
from growlm.metrics import candidates
from growlm.metrics.candidates import choose_answers
from growlm.metrics.scoring import token_sums

NewStack = Callable[..., Any]
CHOICES = (" cat", " the cat sat on the big red box", " no", " yes the dog")
PROMPTS = ("the cat sat on", "yes", "Tom said hello to the big dog and the red cat", "1 2")


def asked(prompt: str, choices: tuple[str, ...] = CHOICES) -> Example:
    return Example(f"x:{prompt}", prompt=prompt, choices=choices)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_log_probabilities_are_those_of_whole_rows(new_stack: NewStack, family: str):
    stack = new_stack(family)
    given = [asked(PROMPTS[0]), asked(PROMPTS[1], CHOICES[:1]), asked(PROMPTS[2]), asked(PROMPTS[3], CHOICES[1:])]
    found = candidates._log_probabilities(stack, [candidates._asked(stack, example) for example in given])
    for example, scores in zip(given, found, strict=True):
        expected = [
            -token_sums(stack, [encode(Example("x", prompt=example.prompt, completion=c), stack.tokenizer, 256)]).nats
            for c in example.choices
        ]
        torch.testing.assert_close(torch.tensor(scores), torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_batches_hold_whole_prompts_and_all_of_them(new_stack: NewStack, monkeypatch: pytest.MonkeyPatch):
    stack = new_stack()
    given = [asked(f"{prompt} {number}") for number, prompt in enumerate(PROMPTS * 3)]
    at_once = choose_answers(stack, given, per_token=False)
    got: list[tuple[int, int]] = []
    monkeypatch.setattr(candidates, "_MOST_ROWS", 9)  # two prompts of four choices
    assert choose_answers(stack, given, False, lambda done, total: got.append((done, total))) == at_once
    assert got == [(number, 6) for number in range(1, 7)]
    monkeypatch.setattr(candidates, "_MOST_ROWS", 1)  # less than one prompt has
    assert choose_answers(stack, given, per_token=False) == at_once


def test_choices_of_one_token_each(new_stack: NewStack):
    stack = new_stack()
    letters = [asked("the cat", (" a", " b"))]
    assert choose_answers(stack, letters, per_token=False)[0] in {"a", "b"}
