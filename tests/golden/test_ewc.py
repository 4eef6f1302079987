"""Elastic weight consolidation: the Fisher information and the penalty against values worked by hand."""

import copy
from typing import Any

import pytest
import torch

from growlm.data.batches import collate
from growlm.errors import GrowlmError
from growlm.methods.ewc import empirical_fisher, quadratic_penalty
from growlm.registry import methods
from growlm.stack.loss import trained_token_losses
from growlm.stack.stack import ModuleStack
from tests.golden.conftest import RunPhase, encoded


def test_the_fisher_information_of_a_logistic_model() -> None:
    # p = sigmoid(w x): the gradient of -log p(y) is (p - y) x; w = 0 gives p = 1/2
    weight = torch.zeros(2, requires_grad=True)
    inputs = torch.tensor([[2.0, 1.0], [-4.0, 0.0]])
    targets = torch.tensor([1.0, 1.0])
    losses = [
        torch.nn.functional.binary_cross_entropy_with_logits(x @ weight, y)
        for x, y in zip(inputs, targets, strict=True)
    ]
    # gradients (-1, -1/2) and (2, 0): squares (1, 1/4) and (4, 0)
    fisher = empirical_fisher(iter(losses), {"weight": weight})
    torch.testing.assert_close(fisher, {"weight": torch.tensor([2.5, 0.125])})


def test_gradients_of_examples_do_not_cancel() -> None:
    weight = torch.zeros(1, requires_grad=True)
    fisher = empirical_fisher([3 * weight.sum(), -3 * weight.sum()], {"weight": weight})
    assert fisher["weight"].item() == 9  # of the batch's mean it would be 0


def test_the_penalty_by_hand() -> None:
    weights = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([[3.0]])}
    anchors = {"b": torch.tensor([[1.0]]), "a": torch.tensor([0.0, 2.0])}
    fisher = {"a": torch.tensor([4.0, 100.0]), "b": torch.tensor([[0.5]])}
    assert quadratic_penalty(weights, anchors, fisher).item() == (4 * 1 + 0 + 0.5 * 4) / 2


def fisher_by_hand(stack: ModuleStack, name: str, seed: int) -> dict[str, torch.Tensor]:
    """Average the squared gradients of whole examples' losses, with backward passes of an own copy."""
    stack = copy.deepcopy(stack)
    stack.set_path((name,))
    parameters = stack.module_parameters(name)
    total = {key: torch.zeros_like(value) for key, value in parameters.items()}
    examples = encoded(seed)
    for example in examples:
        for value in parameters.values():
            value.requires_grad_(True).grad = None
        trained_token_losses(stack, collate([example], pad_id=0)).sum().backward()
        for key, value in parameters.items():
            assert value.grad is not None
            total[key] += value.grad**2
    return {key: value / len(examples) for key, value in total.items()}


def test_what_a_phase_keeps_and_what_the_next_one_pays(stack: ModuleStack, run_phase: RunPhase, begin: Any) -> None:
    options = {"strength": 3.0, "decay": 0.5, "weights": "linears"}
    run_phase(stack, "ewc", "one", options)
    first = fisher_by_hand(stack, "one", seed=3)
    kept = {key.removeprefix("fisher/"): value for key, value in stack.method_tensors("one").items()}
    assert all(value.dtype == torch.float32 for value in kept.values())
    torch.testing.assert_close(kept, first)
    # the second phase's loss: at its beginning the task's alone, then the penalty in the direction that it moved
    member, batches = begin(stack, "ewc", options, "three", encoded(5))
    batch = batches(0)
    task = trained_token_losses(stack, batch).mean()
    assert torch.equal(member.loss(stack, batch), task)
    with torch.no_grad():
        for parameter in stack.module_parameters("three").values():
            parameter += 0.1
    expected = 3.0 / 2 * sum((0.01 * value).sum() for value in first.values())
    task = trained_token_losses(stack, batch).mean()
    torch.testing.assert_close(member.loss(stack, batch) - task, expected, rtol=1e-4, atol=1e-6)
    stack.detach("three")
    # what is kept after it: half of the old, and the new
    run_phase(stack, "ewc", "three", options)
    second = fisher_by_hand(stack, "three", seed=5)
    both = {"fisher/" + key: 0.5 * value + second[key] for key, value in first.items()}
    torch.testing.assert_close(stack.method_tensors("three"), both)


def test_few_samples_are_examples_of_the_phase(stack: ModuleStack, run_phase: RunPhase) -> None:
    run_phase(stack, "ewc", "one", {"num_samples": 1, "weights": "linears"})
    kept = stack.method_tensors("one")
    key = max(kept)
    parameters = stack.module_parameters("one")
    parameter = parameters[key.removeprefix("fisher/")].requires_grad_(True)
    squares = []
    for example in encoded(3):
        loss = trained_token_losses(stack, collate([example], pad_id=0)).sum()
        squares.append(torch.autograd.grad(loss, parameter)[0].square())
    close = [torch.allclose(kept[key], square, rtol=1e-4) for square in squares]
    assert sum(close) == 1


def two_phases(stack: ModuleStack, run_phase: RunPhase, method: str, **options: Any) -> dict[str, torch.Tensor]:
    stack = copy.deepcopy(stack)
    run_phase(stack, method, "one", options)
    run_phase(stack, method, "three", options)
    return stack.module_tensors("three")


def test_without_strength_it_is_sequential_bit_for_bit(stack: ModuleStack, run_phase: RunPhase) -> None:
    parent = two_phases(stack, run_phase, "sequential")
    off = two_phases(stack, run_phase, "ewc", strength=0.0)
    on = two_phases(stack, run_phase, "ewc", strength=1.0)
    assert all(torch.equal(off[key], value) for key, value in parent.items())
    assert not all(torch.equal(on[key], value) for key, value in parent.items())


def test_the_stronger_the_less_the_weights_move(stack: ModuleStack, run_phase: RunPhase) -> None:
    run_phase(stack, "ewc", "one")
    anchor, fisher = stack.module_tensors("one"), stack.method_tensors("one")
    moved = []
    for strength in (0.0, 0.1, 1.0):
        other = copy.deepcopy(stack)
        run_phase(other, "ewc", "three", {"strength": strength})
        now = other.module_tensors("three")
        moved.append(
            sum((fisher["fisher/" + key] * (now[key] - value) ** 2).sum().item() for key, value in anchor.items())
        )
    assert moved[0] > moved[1] > moved[2] > 0


def test_kept_tensors_that_do_not_fit_are_refused(stack: ModuleStack, run_phase: RunPhase, begin: Any) -> None:
    run_phase(stack, "ewc", "one")
    stack._method_tensors["one"] = {}
    with pytest.raises(GrowlmError, match=r"module 'one' keeps no Fisher information of 'dense\.[\w.]+' that fits"):
        begin(stack, "ewc", {}, "three", encoded(5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": -1.0}, r"ewc strength -1.0 is too small"),
        ({"decay": 1.5}, r"ewc decay 1.5 is not between 0 and 1"),
        ({"num_samples": 0}, r"ewc num_samples 0 is too small"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GrowlmError, match=message):
        methods.build("ewc", options)
