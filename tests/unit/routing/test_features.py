"""What routers see: the bare base's hidden states, whatever is attached, in whatever batch."""

from typing import Any

import pytest
import torch

from growlm.data.encode import encode_prompt
from growlm.data.example import Example, Message
from growlm.routing._features import shallow_features, turn_words

FAMILIES = ("llama", "gpt2", "gpt_neo", "gpt_neox", "qwen3")


@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_pooled_hidden_states_of_the_bare_base(new_stack: Any, family: str):
    stack = new_stack("first", kind="block", family=family)
    prompts = [[0, 60, 61, 62], [0, 63, 64]]
    with torch.no_grad():
        states = [
            stack.base(input_ids=torch.tensor([prompt]), output_hidden_states=True, use_cache=False).hidden_states[2]
            for prompt in prompts
        ]
    for row, state in enumerate(states):
        scaled = state[0].double() / state[0].double().square().mean(1, keepdim=True).sqrt()
        expected = torch.cat([scaled[1:].mean(0), scaled[-1]])
        with stack.active("first"):
            found = shallow_features(stack, prompts, layer=2)[row]
            assert stack.path == ("first",)
        assert torch.allclose(found, expected, atol=1e-5)


def test_the_mean_over_the_last_words_comes_third(new_stack: Any):
    stack = new_stack()
    prompts = [[0, 60, 61, 62, 63, 1], [0, 64, 1]]
    with torch.no_grad():
        states = [
            stack.base(input_ids=torch.tensor([prompt]), output_hidden_states=True, use_cache=False).hidden_states[2][0]
            for prompt in prompts
        ]
    scaled = [state.double() / state.double().square().mean(1, keepdim=True).sqrt() for state in states]
    found = shallow_features(stack, prompts, layer=2, last_words=2)
    assert found.shape == (2, 96)
    assert torch.allclose(found[0, 64:], (scaled[0][3] + scaled[0][4]) / 2, atol=1e-5)
    assert torch.allclose(found[1, 64:], scaled[1][1], atol=1e-5), "of a shorter turn it is the mean over all words"
    assert torch.equal(found[:, :64], shallow_features(stack, prompts, layer=2))


def test_no_deeper_layer_is_run(new_stack: Any):
    stack = new_stack()
    stack.architecture.resolve("model.layers.2").register_forward_hook(lambda *args: pytest.fail("ran"))
    assert shallow_features(stack, [[0, 1, 2]], layer=2).shape == (1, 64)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [([0, 7, 8], (1, 3)), ([0, 1, 7, 4, 2, 8, 9, 4, 1], (5, 7)), ([7, 8], (0, 2)), ([0, 1, 2], (0, 3)), ([0], (0, 1))],
)
def test_the_words_are_those_of_the_last_turn(tokens: list[int], expected: tuple[int, int]):
    assert turn_words(tokens, {0, 1, 2, 3, 4}) == expected


def test_what_was_said_before_the_last_turn_does_not_matter(new_stack: Any):
    stack = new_stack()
    last = Message("user", "the cat sat")
    before = (Message("user", "hello"), Message("assistant", "yes"))
    alone, after = (
        encode_prompt(Example("x", messages=messages), stack.tokenizer) for messages in ((last,), (*before, last))
    )
    found = shallow_features(stack, [alone, after, after[:-1]], layer=2)
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2])
