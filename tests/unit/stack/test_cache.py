"""The roomy cache holds what the stock cache holds, whatever is done to it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import DynamicCache

from growlm.stack.cache import RoomyLayer, roomy_cache


def both(caches: list[Any], **states: torch.Tensor) -> None:
    given = [cache.layers[0].update(states["keys"], states["values"]) for cache in caches]
    for stock, roomy in zip(*given, strict=True):
        assert torch.equal(stock, roomy)


def states(length: int, rows: int = 3) -> dict[str, torch.Tensor]:
    return {name: torch.randn(rows, 2, length, 4) for name in ("keys", "values")}


@pytest.fixture
def caches(new_stack: Callable[..., Any]) -> list[Any]:
    config = new_stack(modules=()).config.get_text_config()
    return [DynamicCache(config=config), roomy_cache(config)]


def test_what_one_makes_of_a_config_another_does_not_see(new_stack: Callable[..., Any]):
    config = new_stack(modules=()).config
    config.get_text_config().vocab_size = 7
    assert config.get_text_config().vocab_size != 7
    config.inserted_after = [1, 1]
    assert config.get_text_config().num_hidden_layers == config.base_config["num_hidden_layers"] + 2


def test_it_grows_through_many_rooms(caches: list[Any]):
    both(caches, **states(7))
    for _ in range(230):
        both(caches, **states(1))
    assert caches[1].get_seq_length() == 237


def test_rows_and_tokens_may_be_taken_out_and_others_follow(caches: list[Any]):
    both(caches, **states(7))
    for change in (
        lambda cache: cache.batch_select_indices(torch.tensor([2, 0])),
        lambda cache: cache.crop(-3),
        lambda cache: cache.batch_repeat_interleave(2),
        lambda cache: cache.batch_select_indices(torch.tensor([0])),
    ):
        for cache in caches:
            change(cache)
        both(caches, **states(1, len(caches[0].layers[0].keys)))
    for cache in caches:
        cache.reset()
    both(caches, **states(2, 5))


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2", "gpt_neo", "gpt_neox"])
def test_the_same_answers(family: str, new_stack: Callable[..., Any]):
    stack = new_stack(family)
    prompts = torch.randint(6, 300, (3, 9), generator=torch.Generator().manual_seed(1))
    settings = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 5, "attention_mask": torch.ones_like(prompts)}
    roomy = roomy_cache(stack.config.get_text_config())
    assert torch.equal(stack.generate(prompts, **settings), stack.generate(prompts, past_key_values=roomy, **settings))


def test_a_sliding_window_stays_as_it_is(new_stack: Callable[..., Any]):
    layers = roomy_cache(new_stack("mistral").config.get_text_config()).layers
    assert not any(isinstance(layer, RoomyLayer) for layer in layers)
