"""O-LoRA: the penalty worked by hand, over two and three phases, and its limits."""

import copy
from typing import Any

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.methods.olora import overlap
from growlm.registry import methods
from growlm.stack.loss import trained_token_losses
from growlm.stack.stack import ModuleStack
from tests.golden.conftest import RunPhase, encoded


def test_the_overlap_by_hand() -> None:
    old = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]])
    new = torch.tensor([[3.0, -1.0, 0.0], [0.0, 0.0, -2.0], [1.0, 1.0, 1.0]])
    # the products are 1, 0, 3 and -1, -2, 2
    assert overlap(new, old).item() == 1 + 0 + 3 + 1 + 2 + 2
    assert overlap(torch.tensor([[2.0, -1.0, 1.0]]), old).item() == 0  # orthogonal to both rows


def test_the_overlap_falls_to_nothing_when_it_is_made_smaller() -> None:
    old, new = torch.randn(2, 8), torch.randn(2, 8, requires_grad=True)
    first = overlap(new, old).item()
    for step in range(400):
        (gradient,) = torch.autograd.grad(overlap(new, old), new)
        with torch.no_grad():
            new -= 0.02 * (1 - step / 400) * gradient
    assert overlap(new, old).item() < 1e-2 * first
    assert new.detach().norm() > 1  # by turning, not by vanishing


@pytest.mark.parametrize("earlier", [["one"], ["one", "three"]])
def test_the_loss_of_a_later_phase(stack: ModuleStack, run_phase: RunPhase, begin: Any, earlier: list[str]) -> None:
    for name in earlier:
        run_phase(stack, "olora", name, {"rank": 2})
    member, batches = begin(stack, "olora", {"rank": 3, "strength": 0.3, "norm_strength": 0.2}, "seven", encoded(7))
    assert stack.path == (*earlier, "seven")
    new = stack.module_parameters("seven")
    expected = trained_token_losses(stack, batches(0)).mean()
    for key, factor in new.items():
        expected = expected + 0.2 * factor.square().sum().sqrt()  # B is zero yet
        if key.endswith(".A"):
            for name in earlier:
                old = stack.module_parameters(name)[key]
                expected = expected + 0.3 * sum(abs(a @ b) for a in old for b in factor)
    loss = member.loss(stack, batches(0))
    torch.testing.assert_close(loss, expected)
    assert loss > trained_token_losses(stack, batches(0)).mean() + 1
    loss.backward()
    assert all(parameter.grad is not None for parameter in new.values())
    assert all(parameter.grad is None for name in earlier for parameter in stack.module_parameters(name).values())


def test_under_autocast_the_penalty_is_exact(stack: ModuleStack, run_phase: RunPhase, begin: Any) -> None:
    run_phase(stack, "olora", "one", {"rank": 2})
    member, batches = begin(stack, "olora", {"rank": 2, "strength": 1000.0}, "three", encoded(5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = member.loss(stack, batches(0)).item()
    task = trained_token_losses(stack, batches(0)).mean()
    high = (member.loss(stack, batches(0)) - task).item()
    assert abs(low - high - task.item()) < 1e-4 * high  # bf16 would be off by some 1e-3


def test_only_changes_of_the_same_sites_count(stack: ModuleStack, run_phase: RunPhase, begin: Any) -> None:
    run_phase(stack, "olora", "one", {"target_modules": ["q_proj"]})
    run_phase(stack, "grow", "other", {"module": {"block": {"num_blocks": 1}}})
    member, batches = begin(stack, "olora", {"target_modules": ["v_proj"]}, "three", encoded(5))
    assert torch.equal(member.loss(stack, batches(0)), trained_token_losses(stack, batches(0)).mean())


def test_without_strength_it_is_incremental_lora_bit_for_bit(stack: ModuleStack, run_phase: RunPhase) -> None:
    results = []
    for method, options in (("lora_incremental", {}), ("olora", {"strength": 0.0}), ("olora", {})):
        other = copy.deepcopy(stack)
        run_phase(other, method, "one", options)
        run_phase(other, method, "three", options)
        results.append(other.module_tensors("three"))
    parent, off, on = results
    assert all(torch.equal(off[key], value) for key, value in parent.items())
    assert not all(torch.equal(on[key], value) for key, value in parent.items())


def test_new_changes_are_more_orthogonal_than_without(stack: ModuleStack, run_phase: RunPhase) -> None:
    run_phase(stack, "olora", "one")
    totals = []
    for strength in (0.0, 0.5):
        other = copy.deepcopy(stack)
        run_phase(other, "olora", "three", {"strength": strength}, steps=40, rate=0.02)
        old, new = other.module_tensors("one"), other.module_tensors("three")
        totals.append(sum(overlap(new[key], old[key]).item() for key in new if key.endswith(".A")))
    assert totals[1] < 0.5 * totals[0]


@pytest.mark.parametrize("option", ["strength", "norm_strength"])
def test_options_that_make_no_sense(option: str) -> None:
    with pytest.raises(GrowlmError, match=f"olora {option} -1.0 is too small"):
        methods.build("olora", {option: -1.0})
