"""Rows of tokens on an encoder-decoder: what the stock model computes of prompt and answer."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import DynamicCache, T5ForConditionalGeneration

from growlm.data.batches import collate, padded
from growlm.data.encode import encode, encode_prompt, stop_ids
from growlm.data.example import Example, Message
from growlm.errors import GrowlmError
from growlm.metrics.greedy import greedy_tokens
from growlm.modules.lora import Lora
from growlm.stack.loss import trained_logits, trained_token_losses
from growlm.stack.rows import EncoderDecoderRows
from growlm.stack.stack import ModuleStack
from tests.contracts.conftest import disturb, tokens

EXAMPLES = [
    Example("one", prompt="the cat sat on", completion=" the big red box"),
    Example("two", prompt="Tom", completion=" said hello"),
    Example("three", prompt="Lily ran in the park, Tom", completion=" sat"),
]


@pytest.fixture
def stack(tiny_bases: dict[str, Path]) -> ModuleStack:
    stack = ModuleStack.from_base(str(tiny_bases["t5"])).eval()
    stack.attach("first", {"lora": Lora(rank=2)})
    disturb(stack, "first")
    stack.freeze("first")
    return stack


def stock(stack: ModuleStack) -> Any:
    model = stack.merged()
    assert isinstance(model, T5ForConditionalGeneration)
    return model


def parted(row: tuple[int, ...], stack: ModuleStack) -> tuple[torch.Tensor, torch.Tensor]:
    """Part a row into what encoder and decoder read, [1, E] and [1, L]."""
    at = row.index(stack.base.config.decoder_start_token_id)
    return torch.tensor([row[:at]]), torch.tensor([row[at:]])


@torch.no_grad()
def test_each_row_is_what_the_stock_model_computes_alone(stack: ModuleStack) -> None:
    encoded = [encode(example, stack.tokenizer, 64) for example in EXAMPLES]
    logits = stack(collate(encoded, stack.pad_id).input_ids, use_cache=False).logits
    model = stock(stack)
    for number, example in enumerate(encoded):
        read, said = parted(example.input_ids, stack)
        expected = model(input_ids=read, decoder_input_ids=said).logits[0]
        begin = read.shape[1]
        torch.testing.assert_close(logits[number, begin : begin + len(expected)], expected, rtol=1e-4, atol=1e-5)


def test_the_answer_alone_is_trained_and_ends(stack: ModuleStack) -> None:
    tokenizer = stack.tokenizer
    for example in EXAMPLES:
        encoded = encode(example, tokenizer, 64)
        said = [token for token, trained in zip(encoded.input_ids, encoded.trained, strict=True) if trained]
        assert tokenizer.decode(said[:-1]) == example.completion
        assert said[-1] == stop_ids(tokenizer)[-1]
        prompt = encode_prompt(example, tokenizer)
        assert encoded.input_ids[: len(prompt)] == tuple(prompt)
        assert tokenizer.decode(prompt[:-2]) == example.prompt


def test_of_a_conversation_the_last_answer_is_the_decoder_s(stack: ModuleStack) -> None:
    turns = (
        *(Message("user", "hello"), Message("assistant", "yes", expected=("yes",))),
        *(Message("user", "the cat"), Message("assistant", "sat", expected=("sat",))),
    )
    encoded = encode(Example("talk", messages=turns), stack.tokenizer, 128)
    read, said = parted(encoded.input_ids, stack)
    assert stack.tokenizer.decode(read[0, :-1]) == "User: hello\nAssistant: yes\nUser: the cat\nAssistant:"
    assert stack.tokenizer.decode(said[0], skip_special_tokens=True) == "sat"
    assert sum(encoded.trained) == said.shape[1] - 1
    prompt = encode_prompt(Example("talk", messages=turns[:3]), stack.tokenizer)
    assert encoded.input_ids[: len(prompt)] == tuple(prompt)


@torch.no_grad()
def test_losses_are_the_stock_model_s(stack: ModuleStack) -> None:
    encoded = [encode(example, stack.tokenizer, 64) for example in EXAMPLES]
    batch, model = collate(encoded, stack.pad_id), stock(stack)
    losses, (logits, targets) = trained_token_losses(stack, batch), trained_logits(stack, batch)
    torch.testing.assert_close(losses, torch.nn.functional.cross_entropy(logits, targets, reduction="none"))
    means = []
    for example in encoded:
        read, said = parted(example.input_ids, stack)
        means.append(model(input_ids=read, labels=said[:, 1:]).loss * (said.shape[1] - 1))
    torch.testing.assert_close(losses.sum(), torch.stack(means).sum(), rtol=1e-4, atol=1e-4)
    whole = stack(batch.input_ids, labels=batch.labels, use_cache=False).loss
    torch.testing.assert_close(whole, losses.mean(), rtol=1e-4, atol=1e-5)
    one = collate(encoded[:1], stack.pad_id).input_ids
    expected = trained_token_losses(stack, collate(encoded[:1], stack.pad_id)).mean()
    torch.testing.assert_close(stack(one, labels=one, use_cache=False).loss, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("how", [{}, {"num_beams": 3}, {"use_cache": False}], ids=str)
def test_generated_answers_are_the_stock_model_s(stack: ModuleStack, how: dict[str, Any]) -> None:
    prompts = [encode_prompt(example, stack.tokenizer) for example in EXAMPLES]
    ids, mask = padded(prompts, stack.pad_id, left=True)
    settings = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, **how}
    new = stack.generate(ids, attention_mask=mask, pad_token_id=stack.pad_id, **settings)[:, ids.shape[1] :]
    model = stock(stack)
    for row, prompt in zip(new.tolist(), prompts, strict=True):
        expected = model.generate(torch.tensor([prompt[:-1]]), **settings)[0, 1:]
        assert row == expected.tolist()
    if not how:
        found = greedy_tokens(stack, prompts, 8)
        assert [row[: len(mine)] for row, mine in zip(new.tolist(), found, strict=True)] == found


@torch.no_grad()
def test_a_row_without_a_start_token_is_a_text(stack: ModuleStack) -> None:
    ids, model = tokens(2, 9), stock(stack)
    start, end = stack.base.config.decoder_start_token_id, stack.base.config.eos_token_id
    answers = torch.cat([torch.full((2, 1), start), ids], 1)
    expected = model(input_ids=torch.full((2, 1), end), decoder_input_ids=answers).logits[:, 1:]
    torch.testing.assert_close(stack(ids, use_cache=False).logits, expected, rtol=1e-4, atol=1e-5)
    encoded = encode(Example("text", text="the cat sat"), stack.tokenizer, 64)
    assert encoded.input_ids[:2] == (end, start)
    assert sum(encoded.trained) == len(encoded.input_ids) - 2


def test_what_cannot_be_run_is_refused(stack: ModuleStack) -> None:
    prompts = [encode_prompt(example, stack.tokenizer) for example in EXAMPLES]
    ids, _ = padded(prompts, stack.pad_id)
    with pytest.raises(GrowlmError, match="padded on the left"):
        stack(ids, use_cache=True)
    with pytest.raises(GrowlmError, match="some rows of the batch have the decoder's start token"):
        stack(torch.cat([ids, torch.full_like(ids[:1], 9)]), use_cache=False)
    with pytest.raises(GrowlmError, match=r"leave \['output_attentions'\] out"):
        stack(ids, use_cache=False, output_attentions=True)
    with pytest.raises(GrowlmError, match="run on tokens alone"):
        stack(inputs_embeds=torch.zeros(1, 3, 32), use_cache=False)
    left, mask = padded(prompts, stack.pad_id, left=True)
    with pytest.raises(GrowlmError, match="by their attention_mask"):
        stack(left, use_cache=True)
    other = DynamicCache()
    other.update(torch.zeros(3, 4, 2, 8), torch.zeros(3, 4, 2, 8), 0)
    with pytest.raises(GrowlmError, match="need the cache that the pass over the prompt returned"):
        stack(left, mask, past_key_values=other, use_cache=True)
    stack.base.config.decoder_start_token_id = None
    with pytest.raises(GrowlmError, match="does not say which token ends a text"):
        EncoderDecoderRows(stack.base)
    with pytest.raises(GrowlmError, match="cannot be padded on the left"):
        stack(tokens(1, 4), attention_mask=torch.tensor([[0, 1, 1, 1]]), use_cache=False)


def test_gradient_checkpointing(tiny_bases: dict[str, Path]) -> None:
    stack = ModuleStack.from_base(str(tiny_bases["t5"]))
    stack.attach("first", {"lora": Lora(rank=2)})
    disturb(stack, "first")
    stack.train()
    batch = collate([encode(example, stack.tokenizer, 64) for example in EXAMPLES], stack.pad_id)
    found = []
    for switch in (stack.gradient_checkpointing_disable, stack.gradient_checkpointing_enable):
        switch()
        stack.zero_grad()
        trained_token_losses(stack, batch).mean().backward()
        found.append({name: p.grad for name, p in stack.module_parameters("first").items() if p.grad is not None})
    assert found[0].keys() == found[1].keys() == stack.module_parameters("first").keys()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
