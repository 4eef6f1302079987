"""Gradient projection memory: bases against singular values, and what a phase leaves alone."""

from typing import Any

import pytest
import torch
from torch import Tensor

from growlm.errors import GrowlmError
from growlm.methods.gpm import Gpm, extended_basis, without_span
from growlm.registry import methods
from growlm.stack.stack import ModuleStack
from tests.golden.conftest import RunPhase, encoded

Q = "model.layers.1.self_attn.q_proj"


def empty(size: int) -> Tensor:
    return torch.zeros(size, 0, dtype=torch.float64)


def test_a_basis_by_hand() -> None:
    # energies 16, 9, 4 and 1 of 30: 16 + 9 = 25 are 0.833 of it, 29 are 0.967
    gram = torch.diag(torch.tensor([4.0, 16.0, 1.0, 9.0], dtype=torch.float64))
    first = extended_basis(empty(4), gram, 0.8)
    assert first.abs().T.tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]
    assert extended_basis(empty(4), gram, 0.9).shape == (4, 3)
    # the basis holds 25 already: for 0.8 nothing is missing, for 0.9 one direction of the rest is
    assert torch.equal(extended_basis(first, gram, 0.8), first)
    assert extended_basis(first, gram, 0.9)[:, 2].abs().tolist() == [1, 0, 0, 0]
    assert extended_basis(first, gram, 1.0).shape == (4, 4)


@pytest.mark.parametrize("threshold", [0.5, 0.9, 0.97])
def test_the_criterion_of_the_paper(threshold: float) -> None:
    """With singular values of the inputs themselves, k is the least that fulfils eq. 9."""
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(12, 3, dtype=torch.float64)).Q
    inputs = torch.randn(12, 40, dtype=torch.float64) * torch.linspace(0.1, 3, 12, dtype=torch.float64)[:, None]
    found = extended_basis(basis, inputs @ inputs.T, threshold)
    rest = inputs - basis @ (basis.T @ inputs)
    vectors, values, _ = torch.linalg.svd(rest, full_matrices=False)
    held = (basis.T @ inputs).norm() ** 2
    count = next(k for k in range(13) if held + values[:k].square().sum() >= threshold * inputs.norm() ** 2)
    assert found.shape[1] == 3 + count
    torch.testing.assert_close(found.T @ found, torch.eye(3 + count, dtype=torch.float64))
    expected = vectors[:, :count] @ vectors[:, :count].T
    torch.testing.assert_close(found[:, 3:] @ found[:, 3:].T, expected)
    assert (found.T @ inputs).norm() ** 2 >= threshold * inputs.norm() ** 2 * (1 - 1e-12)


def test_a_change_without_the_span() -> None:
    basis = torch.linalg.qr(torch.randn(6, 2)).Q
    change = without_span(torch.randn(4, 6), basis)
    assert (change @ basis).abs().max() < 1e-6
    assert change.norm() > 0.1


def test_whatever_the_optimizer_did_old_inputs_are_answered_alike(
    stack: ModuleStack, run_phase: RunPhase, begin: Any
) -> None:
    run_phase(stack, "gpm", "one", {"threshold": 0.9, "num_samples": 6})
    kept = stack.method_tensors("one")
    assert kept.keys() == {f"basis/{site}" for site in stack.architecture.linear_sites(None, range(4))}
    basis = kept[f"basis/{Q}"]
    torch.testing.assert_close(basis.T @ basis, torch.eye(basis.shape[1]))
    member, _ = begin(stack, "gpm", {}, "three", encoded(3))
    name = f"dense.{Q}.layer.weight"
    before = stack.module_parameters("three")[name].detach().clone()
    parameters = list(member.parameters(stack, "three"))
    assert all(parameter.dim() == 2 for parameter in parameters)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.1 * torch.randn(parameter.shape))
            parameter.grad = torch.randn(parameter.shape)
    member.after_backward()
    member.after_step()
    change = stack.module_parameters("three")[name].detach() - before
    assert (change @ basis).norm() < 1e-5 * change.norm()
    assert change.norm() > 0.1
    gradient = stack.module_parameters("three")[name].grad
    assert gradient is not None
    assert (gradient @ basis).norm() < 1e-5 * gradient.norm()


def test_the_basis_grows_and_the_threshold_rises(stack: ModuleStack, run_phase: RunPhase) -> None:
    run_phase(stack, "gpm", "one", {"threshold": 0.7})
    member = run_phase(stack, "gpm", "three", {"threshold": 0.7, "increase": 0.1})
    assert isinstance(member, Gpm)
    assert member._phase == 1
    first, second = (stack.method_tensors(name)[f"basis/{Q}"] for name in ("one", "three"))
    assert second.shape[1] > first.shape[1]
    torch.testing.assert_close(second[:, : first.shape[1]], first)


@pytest.mark.parametrize(
    ("option", "value"), [("threshold", 0.0), ("threshold", 1.5), ("increase", -0.1), ("num_samples", 0)]
)
def test_options_that_make_no_sense(option: str, value: Any) -> None:
    with pytest.raises(GrowlmError, match=f"gpm {option} {value} is"):
        methods.build("gpm", {option: value})
