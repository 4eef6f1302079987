"""Activation functions are computed again for the backward pass, and nothing else changes by it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from growlm.stack.loss import recomputed_activations
from growlm.stack.stack import ModuleStack

IDS_BT = torch.arange(24).reshape(2, 12)


@pytest.fixture(params=["llama", "gpt2", "gpt_neox"])
def stack(request: pytest.FixtureRequest, new_stack: Callable[..., Any]) -> Any:
    return new_stack(request.param, modules=())


@contextmanager
def calls(model: nn.Module) -> Iterator[list[nn.Module]]:
    """List the activation functions that are run, by the module."""
    ran: list[nn.Module] = []
    for name, module in model.named_modules():
        if name.endswith((".act_fn", ".act")):
            module.forward = _listed(module, module.forward, ran)  # type: ignore[method-assign]
    yield ran


def _listed(module: nn.Module, forward: Callable[..., Any], ran: list[nn.Module]) -> Callable[..., Any]:
    def listed(*args: Any) -> Any:
        ran.append(module)
        return forward(*args)

    return listed


def gradients(stack: ModuleStack, recomputed: bool) -> list[Tensor]:
    stack.zero_grad()
    for parameter in stack.parameters():
        parameter.requires_grad_(True)
    with recomputed_activations(stack) if recomputed else nullcontext():
        hidden = stack.hidden_states(IDS_BT)
    hidden.square().sum().backward()
    return [parameter.grad for parameter in stack.parameters() if parameter.grad is not None]


def test_gradients_are_the_same_bit_for_bit(stack: Any) -> None:
    plain, recomputed = gradients(stack, False), gradients(stack, True)
    assert len(plain) == len(recomputed) > 10
    for one, other in zip(plain, recomputed, strict=True):
        assert torch.equal(one, other)


def test_each_is_run_once_more_in_the_backward_pass(stack: Any) -> None:
    num_layers = stack.config.get_text_config().num_hidden_layers
    with calls(stack) as ran:
        gradients(stack, True)
    assert len(ran) == 2 * num_layers
    with calls(stack) as ran:
        gradients(stack, False)
    assert len(ran) == num_layers


def test_no_hook_is_left(stack: Any) -> None:
    gradients(stack, True)
    assert not any(module._forward_hooks for module in stack.modules())


def test_without_gradients_it_does_nothing(stack: Any) -> None:
    with torch.no_grad(), calls(stack) as ran, recomputed_activations(stack):
        stack.hidden_states(IDS_BT)
    assert len(ran) == stack.config.get_text_config().num_hidden_layers


def test_second_derivatives_are_right() -> None:
    function = nn.Sequential(nn.Linear(3, 3), nn.SiLU()).double()
    inputs = torch.rand(3, dtype=torch.float64, requires_grad=True)

    def gated(inputs: Tensor) -> Tensor:
        with recomputed_activations(function):
            return function(inputs) * inputs

    assert torch.autograd.gradgradcheck(gated, inputs)
