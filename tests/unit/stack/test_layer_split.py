"""The decoder layers of a stack in two parts."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from growlm.errors import GrowlmError
from growlm.modules.block import Block
from growlm.modules.dense import Dense
from growlm.modules.embedding import Embedding
from growlm.modules.kind import ModuleKind
from growlm.modules.lora import Lora
from growlm.modules.nearest import Nearest
from growlm.stack.layer_split import lowest_layer, split_layers
from growlm.stack.stack import ModuleStack
from tests.contracts.conftest import DECODERS, disturb, tokens

NewStack = Callable[..., ModuleStack]


def stack_with(new_stack: NewStack, family: str, **kinds: ModuleKind) -> ModuleStack:
    stack = new_stack(family)
    stack.attach("module", kinds, on=())
    disturb(stack, "module")
    return stack


@pytest.mark.parametrize("family", DECODERS)
def test_both_parts_compute_what_all_layers_do(new_stack: NewStack, family: str) -> None:
    stack = stack_with(new_stack, family, lora=Lora(rank=2))
    positions = torch.arange(9).expand(len(tokens()), 9)
    for first in range(1, 5):
        whole = stack.hidden_states(tokens(length=9))
        with split_layers(stack, first) as split:
            assert torch.equal(stack.hidden_states(tokens(length=9)), whole)
            below = split.hidden_below(tokens(length=9), positions)
            with split.above(below):
                assert torch.equal(stack.hidden_states(torch.zeros_like(tokens(length=9))), whole)
            assert torch.equal(stack.hidden_states(tokens(length=9)), whole)
        assert torch.equal(stack.hidden_states(tokens(length=9)), whole)


def test_only_the_layers_of_a_part_are_run(new_stack: NewStack) -> None:
    stack = stack_with(new_stack, "llama", lora=Lora(rank=2))
    calls: list[int] = []
    layers: Any = stack.base.get_submodule("model.layers")
    with split_layers(stack, 3) as split:
        for number, layer in enumerate(layers):
            layer.self_attn.register_forward_hook(lambda *_, number=number: calls.append(number))
        below = split.hidden_below(tokens())
        assert calls == [0, 1, 2]
        with split.above(below):
            stack.hidden_states(tokens())
        assert calls == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("kinds", "lowest"),
    [
        ({"lora": Lora(rank=2)}, 0),
        ({"lora": Lora(rank=2, layers=[3, 2])}, 2),
        ({"lora": Lora(rank=2, layers=[2]), "embedding": Embedding(rank=2)}, 0),
        ({"block": Block(after=[1])}, 1),
        ({"dense": Dense()}, 0),
        ({"nearest": Nearest(capacity=2)}, 4),
    ],
)
def test_the_lowest_layer_is_that_of_the_lowest_part(
    new_stack: NewStack, kinds: dict[str, ModuleKind], lowest: int
) -> None:
    assert lowest_layer(stack_with(new_stack, "llama", **kinds), "module") == lowest


def test_layers_that_share_more_than_hidden_states_are_refused(new_stack: NewStack) -> None:
    stack = stack_with(new_stack, "llama", lora=Lora(rank=2))
    first: Any = stack.base.get_submodule("model.layers.0.self_attn")
    last: Any = stack.base.get_submodule("model.layers.3")
    shared: list[torch.Tensor] = []
    stack.base.get_submodule("model").register_forward_pre_hook(lambda *_: shared.clear())
    first.register_forward_hook(lambda _, __, output: shared.append(output[0]))
    last.register_forward_hook(lambda _, __, output: output + sum(shared))
    with pytest.raises(GrowlmError, match=r"type 'llama' depend on more .* leave cache_hidden_states out"):  # noqa: SIM117
        with split_layers(stack, 2):
            pass
    assert "forward" not in vars(last)


def test_what_another_wrapper_put_there_is_restored(new_stack: NewStack) -> None:
    stack = stack_with(new_stack, "llama", lora=Lora(rank=2))
    layer: nn.Module = stack.base.get_submodule("model.layers.1")
    layer.forward = before = lambda *args, **kwargs: type(layer).forward(layer, *args, **kwargs)
    with split_layers(stack, 2):
        assert layer.forward is not before
    assert layer.forward is before
