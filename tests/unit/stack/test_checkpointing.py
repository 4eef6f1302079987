"""Gradient checkpointing: the same gradients, less kept, nothing left on the layers; the switch of transformers."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.modules.site import is_in_part
from growlm.registry import module_kinds
from growlm.stack.checkpointing import checkpointed_layers
from growlm.stack.stack import ModuleStack
from tests.contracts.conftest import disturb, tokens

# nearest has nothing in the layers
LAYER_BY_LAYER = sorted(kind for kind in module_kinds if module_kinds.get(kind).per_layer and kind != "nearest")


def gradients(stack: ModuleStack) -> tuple[dict[str, torch.Tensor], int]:
    """Return the gradients of a pass, and how many bytes it kept for them."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    parameters = stack.module_parameters("first")
    for parameter in parameters.values():
        parameter.grad = None
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = stack.logits(stack.hidden_states(tokens(8, 40))).square().mean()
    stack.set_path(())  # the backward pass may run when another path is active
    loss.backward()
    stack.set_path(("first",))
    return {name: parameter.grad.clone() for name, parameter in parameters.items() if parameter.grad is not None}, sum(
        kept.values()
    )


@pytest.mark.parametrize("kind", LAYER_BY_LAYER)
def test_gradients_are_the_same_and_less_is_kept(tiny_bases: dict[str, Path], kind: str) -> None:
    stack = ModuleStack.from_base(str(tiny_bases["llama"]))
    stack.attach("first", {kind: module_kinds.build(kind)})
    disturb(stack, "first")
    stack.train()
    expected, kept = gradients(stack)
    with checkpointed_layers(stack):
        found, kept_less = gradients(stack)
    assert found.keys() == expected.keys() == stack.module_parameters("first").keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert kept_less < (0.9 if kind == "embedding" else 0.6) * kept
    assert not any("forward" in vars(layer) for layer in stack.base.get_submodule("model.layers"))


@pytest.mark.parametrize("kind", ["experts", "lora_concat"])
def test_what_is_computed_with_other_layers_is_refused(tiny_bases: dict[str, Path], kind: str) -> None:
    stack = ModuleStack.from_base(str(tiny_bases["llama"]))
    stack.attach("first", {kind: module_kinds.build(kind)})
    with pytest.raises(GrowlmError, match=f"{kind} cannot be computed again"), checkpointed_layers(stack):
        pass


def growing(base: Path, kind: str = "lora") -> ModuleStack:
    """Return a stack with a frozen module and one that grows on it."""
    stack = ModuleStack.from_base(str(base))
    for name in ("second", "first"):
        stack.attach(name, {kind: module_kinds.build(kind)}, on=[])
        disturb(stack, name)
    return stack.train()


@pytest.mark.parametrize("options", [{}, {"every_n_layers": 2}, {"offload": True}], ids=str)
def test_the_switch_of_transformers(tiny_bases: dict[str, Path], options: dict[str, Any]) -> None:
    stack = growing(tiny_bases["llama"])
    assert stack.supports_gradient_checkpointing
    expected, kept = gradients(stack)
    stack.activation_checkpointing_enable(activation_checkpointing_kwargs={"preserve_rng_state": False}, **options)
    assert stack.is_gradient_checkpointing
    assert stack.is_activation_checkpointing
    found, kept_less = gradients(stack)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert kept_less < kept
    assert all(parameter.grad is None for name, parameter in stack.named_parameters() if not is_in_part(name))
    stack.activation_checkpointing_disable()
    assert not stack.is_gradient_checkpointing
    assert gradients(stack)[1] == kept


def test_inputs_that_take_a_gradient_change_none(tiny_bases: dict[str, Path]) -> None:
    stack = growing(tiny_bases["llama"])
    expected, _ = gradients(stack)
    stack.gradient_checkpointing_enable()
    stack.enable_input_require_grads()
    found, _ = gradients(stack)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_rows_of_different_paths_stay_on_their_paths(tiny_bases: dict[str, Path]) -> None:
    stack = growing(tiny_bases["llama"])
    found = []
    for switch in (stack.gradient_checkpointing_disable, stack.gradient_checkpointing_enable):
        switch()
        stack.zero_grad()
        with stack.active_rows([["first"], ["second"], []]):
            loss = stack.logits(stack.hidden_states(tokens(3, 20))).square().mean()
        loss.backward()
        found.append([p.grad.clone() for p in stack.module_parameters("second").values() if p.grad is not None])
    assert found[0]
    assert all(torch.equal(first, second) for first, second in zip(*found, strict=True))


def test_a_pass_with_a_cache_writes_it_once(tiny_bases: dict[str, Path]) -> None:
    stack = growing(tiny_bases["llama"])
    stack.gradient_checkpointing_enable()
    output = stack(tokens(2, 8), use_cache=True)
    output.logits.square().mean().backward()
    assert output.past_key_values.get_seq_length() == 8


def test_a_copy_of_a_stack_computes_its_own_layers_again(tiny_bases: dict[str, Path]) -> None:
    stack = growing(tiny_bases["llama"])
    stack.gradient_checkpointing_enable()
    twin = copy.deepcopy(stack)
    expected, _ = gradients(twin)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.zero_()
    found, _ = gradients(twin)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    twin.gradient_checkpointing_disable()
    assert stack.is_gradient_checkpointing


def test_layers_are_not_computed_again_from_inputs_that_take_a_gradient_alone(tiny_bases: dict[str, Path]) -> None:
    stack = growing(tiny_bases["llama"])
    with pytest.raises(GrowlmError, match="use_reentrant=True needs inputs"):
        stack.gradient_checkpointing_enable({"use_reentrant": True})
    assert not stack.is_gradient_checkpointing


def test_a_later_path_that_spans_layers_is_refused(tiny_bases: dict[str, Path]) -> None:
    stack = growing(tiny_bases["llama"])
    stack.gradient_checkpointing_enable()
    stack.attach("third", {"experts": module_kinds.build("experts")})
    with pytest.raises(GrowlmError, match="experts cannot be computed again"):
        stack(tokens(2, 8), use_cache=False)
    with stack.active("first"):
        stack(tokens(2, 8), use_cache=False)
