"""Compiled decoder layers beside those that run line by line."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from growlm.base.attention import matmul_on_cpu
from growlm.data.batches import pack
from growlm.data.encode import Encoded
from growlm.stack.compiled import compiled_layers
from growlm.stack.loss import trained_token_losses
from growlm.train.machine import compile_problem

# torch's own, from tracing modules
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def examples(number: int, length: int) -> list[Encoded]:
    return [
        Encoded(f"x{n}", tuple(range(4, 4 + length + n)), (False,) + (True,) * (length + n - 1)) for n in range(number)
    ]


@pytest.fixture
def without_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trace and differentiate as always, but generate no code: that takes a C++ compiler, and its time."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager", fullgraph=True))
    torch._dynamo.reset()


@pytest.mark.slow
def test_one_compilation_serves_all_layers_and_sizes_and_computes_the_same(
    new_stack: Callable[..., Any], without_code: None
) -> None:
    stack = new_stack()
    parameters = list(stack.module_parameters("first").values())
    for parameter in parameters:
        parameter.requires_grad_(True)
    torch._dynamo.utils.counters.clear()
    with matmul_on_cpu(stack.base):
        for number, length in [(5, 12), (6, 20), (4, 9)]:
            batch = pack(examples(number, length), 3, 2 * length + 10)
            losses = trained_token_losses(stack, batch)
            expected = losses, *torch.autograd.grad(losses.mean(), parameters)
            with compiled_layers(stack):
                losses = trained_token_losses(stack, batch)
                found = losses, *torch.autograd.grad(losses.mean(), parameters)
            for one, other in zip(found, expected, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    # and one for the first layer, whose inputs need no gradient as no embedding is trained
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2


@pytest.mark.exhaustive
@pytest.mark.skipif(compile_problem(torch.device("cpu")) is not None, reason="needs a C++ compiler")
def test_generated_code_computes_the_same_in_bf16(new_stack: Callable[..., Any]) -> None:
    torch._dynamo.reset()
    stack = new_stack()
    parameters = list(stack.module_parameters("first").values())
    for parameter in parameters:
        parameter.requires_grad_(True)
        nn.init.normal_(parameter, std=0.1)
    batch = pack(examples(5, 12), 3, 34)
    with matmul_on_cpu(stack.base), torch.autocast("cpu", torch.bfloat16):
        expected = trained_token_losses(stack, batch)
        with stack.active():
            bare = trained_token_losses(stack, batch)
        with compiled_layers(stack):
            found = trained_token_losses(stack, batch)
    rounding = (found - expected).norm()
    assert rounding < 0.05 * (bare - expected).norm()  # a change of half or twice the size differs by about as much


def test_another_path_and_a_pass_without_gradients_run_as_before(
    new_stack: Callable[..., Any], without_code: None
) -> None:
    stack = new_stack(modules=("first", "second"))
    ids = torch.arange(12)[None]
    torch._dynamo.utils.counters.clear()
    with torch.no_grad():
        expected = stack.hidden_states(ids)
    with stack.active():
        bare = stack.hidden_states(ids)
    with compiled_layers(stack):
        with stack.active():
            assert torch.equal(stack.hidden_states(ids), bare)
        with torch.no_grad():
            assert torch.equal(stack.hidden_states(ids), expected)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 0
    assert all("forward" not in vars(layer) for layer in stack.base.model.layers)
