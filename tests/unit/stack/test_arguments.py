"""Arguments of a pass: those that libraries give are taken, and one with a typing error is refused."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

NewStack = Callable[..., Any]
TOKENS = torch.arange(6, 42).reshape(2, 18)


@pytest.mark.parametrize(
    ("family", "argument", "nearest"),
    [
        ("llama", "labls", "labels"),
        ("llama", "outptu_attentions", "output_attentions"),
        ("gpt2", "atention_mask", "attention_mask"),
        ("mixtral", "output_router_logit", "output_router_logits"),
        ("t5", "labls", "labels"),
    ],
)
def test_an_unknown_argument_is_refused_with_the_nearest(
    new_stack: NewStack, family: str, argument: str, nearest: str
) -> None:
    message = f"forward() got an unexpected keyword argument {argument!r}. Did you mean {nearest!r}?"
    with pytest.raises(TypeError, match=re.escape(message)):
        new_stack(family)(TOKENS, **{argument: TOKENS})


@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral", "t5"])
def test_the_base_without_its_output_embedding_takes_as_few(new_stack: NewStack, family: str) -> None:
    stack = new_stack(family)
    with torch.no_grad():
        mask = torch.ones_like(TOKENS)
        taken = stack.base_model(TOKENS, attention_mask=mask, use_cache=False, output_attentions=None)
        assert torch.equal(taken.last_hidden_state, stack.hidden_states(TOKENS, mask))
    message = "base_model() got an unexpected keyword argument 'atention_mask'. Did you mean 'attention_mask'?"
    with pytest.raises(TypeError, match=re.escape(message)):
        stack.base_model(TOKENS, atention_mask=None)


def test_token_types_that_a_tokenizer_gives_are_taken(new_stack: NewStack) -> None:
    stack = new_stack()
    with torch.no_grad():
        assert torch.equal(stack(TOKENS, token_type_ids=torch.zeros_like(TOKENS)).logits, stack(TOKENS).logits)


def test_a_name_like_no_other_is_refused_alone(new_stack: NewStack) -> None:
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'xyz'$"):
        new_stack()(TOKENS, xyz=None)


def test_an_encoder_decoder_parts_prompt_and_answer_itself(new_stack: NewStack) -> None:
    with pytest.raises(TypeError, match="'decoder_input_ids'"):
        new_stack("t5")(TOKENS, decoder_input_ids=TOKENS)


@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral", "t5"])
def test_what_trainers_give_is_taken(new_stack: NewStack, family: str) -> None:
    stack = new_stack(family)
    given = {"attention_mask": torch.ones_like(TOKENS), "labels": TOKENS, "num_items_in_batch": torch.tensor(34)}
    peft = {"inputs_embeds": None, "output_attentions": None, "output_hidden_states": None, "return_dict": None}
    with torch.no_grad():
        loss = stack(TOKENS, **given, **peft, use_cache=False, shift_labels=None).loss
        torch.testing.assert_close(loss, stack(TOKENS, labels=TOKENS).loss)


def test_arguments_of_a_base_are_passed_on(new_stack: NewStack) -> None:
    stack = new_stack("gpt2")
    with torch.no_grad():
        plain, typed = stack(TOKENS), stack(TOKENS, token_type_ids=TOKENS)
    assert not torch.allclose(plain.logits, typed.logits)
