"""KIF: softmax fusion and the orthonormal ranks against values worked by hand, and phases against own arithmetic."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from growlm.errors import GrowlmError
from growlm.methods._fusion import softmax_share
from growlm.methods.kif import orthogonality_loss
from growlm.registry import methods
from growlm.stack.loss import trained_token_losses
from growlm.stack.stack import ModuleStack
from tests.golden.conftest import RunPhase, encoded


def test_shares_are_a_softmax_of_the_importance() -> None:
    earlier, new = torch.tensor([0.0, 1.0, 0.2, 0.5]), torch.tensor([0.0, 0.0, 0.7, 0.5])
    # exp(new / τ) / (exp(earlier / τ) + exp(new / τ)) with 1/τ = 4
    expected = [0.5, 1 / (math.exp(4) + 1), math.exp(2.8) / (math.exp(0.8) + math.exp(2.8)), 0.5]
    torch.testing.assert_close(softmax_share(earlier, new), torch.tensor(expected))
    pair = torch.stack([earlier, new]) / 0.1
    torch.testing.assert_close(softmax_share(earlier, new, 0.1), pair.softmax(0)[1])


def test_the_distance_from_orthonormal_ranks() -> None:
    a_RI = torch.tensor([[3.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # A Aᵀ - I = diag(8, 0)
    b_OR = torch.tensor([[1.0, 1.0], [0.0, 0.0]])  # Bᵀ B - I = [[0, 1], [1, 0]]
    torch.testing.assert_close(orthogonality_loss([a_RI], [b_OR]), torch.tensor((8 + math.sqrt(2)) / 2))
    assert orthogonality_loss([torch.eye(2, 5)], [torch.eye(7, 2)]) == 0


def test_a_new_change_gets_a_gradient_from_it() -> None:
    a_RI, b_OR = torch.randn(2, 3, requires_grad=True), torch.zeros(4, 2, requires_grad=True)
    orthogonality_loss([a_RI], [b_OR]).backward()
    assert a_RI.grad is not None
    assert a_RI.grad.abs().sum() > 0
    assert b_OR.grad is not None
    assert torch.equal(b_OR.grad, torch.zeros(4, 2))  # B begins at zero: no direction, but no NaN either


def test_the_loss_is_the_task_and_a_tenth_of_the_distance(stack: ModuleStack, begin: Any) -> None:
    member, batches = begin(stack, "kif", {"rank": 2}, "one", encoded(5))
    task = trained_token_losses(stack, batches(0)).mean()
    factors = stack.module_parameters("one")
    distances = [
        ((value @ value.T if key.endswith(".A") else value.T @ value) - torch.eye(2)).square().sum().sqrt()
        for key, value in factors.items()
    ]
    torch.testing.assert_close(member.loss(stack, batches(0)), task + 0.1 * sum(distances) / len(distances))
    without, _ = begin(stack, "kif", {"rank": 2, "orthogonality": 0.0}, "two", encoded(5))
    assert torch.equal(without.loss(stack, batches(0)), trained_token_losses(stack, batches(0)).mean())


def scores(stack: ModuleStack, name: str, prefix: str) -> dict[str, Tensor]:
    kept = stack.method_tensors(name)
    return {key.removeprefix(prefix): value for key, value in kept.items() if key.startswith(prefix)}


def test_two_phases_by_hand(stack: ModuleStack, run_phase: RunPhase) -> None:
    options = {"rank": 3, "temperature": 0.5}
    run_phase(stack, "kif", "one", options)
    plain = copy.deepcopy(stack)
    run_phase(plain, "kif", "three", {**options, "fusion": "none"})
    run_phase(stack, "kif", "three", options)
    old, new, found = stack.module_tensors("one"), plain.module_tensors("three"), stack.module_tensors("three")
    earlier, own = scores(stack, "one", "importance/"), scores(stack, "three", "phase_importance/")
    torch.testing.assert_close(own, scores(plain, "three", "phase_importance/"))
    every = torch.cat(list(own.values()))
    assert (every.min(), every.max()) == (0, 1)
    for change, of_ranks in own.items():
        for rank in range(3):
            weight_old, weight_new = (math.exp(each[rank] / 0.5) for each in (earlier[change], of_ranks))
            share = weight_new / (weight_old + weight_new)
            for key, at in ((f"{change}.A", (rank,)), (f"{change}.B", (slice(None), rank))):
                torch.testing.assert_close(found[key][at], share * new[key][at] + (1 - share) * old[key][at])


@pytest.mark.parametrize("order", ["first", "mixed", "second"])
def test_importance_of_the_first_step_by_hand(stack: ModuleStack, begin: Any, order: str) -> None:
    member, batches = begin(stack, "kif", {"rank": 2, "order": order}, "one", encoded(5))
    parameters = stack.module_parameters("one")
    with torch.no_grad():
        for value in parameters.values():
            value += 0.3
    member.loss(stack, batches(0)).backward()
    member.after_backward()
    by_hand = {}
    for key, value in parameters.items():
        product = value.detach().double() * value.grad.double()
        found = {"first": product.abs(), "mixed": (product - product**2 / 2).abs(), "second": product**2}[order]
        by_hand[key] = (0.15 * found) * (0.15 * 0.85 * found)
    raw = {}
    for key in by_hand:
        if key.endswith(".A"):
            change = key.removesuffix(".A")
            a_RI, b_OR = by_hand[key], by_hand[change + ".B"]
            raw[change] = torch.stack([torch.outer(b_OR[:, r], a_RI[r]).mean() for r in range(2)])
    flat = torch.cat(list(raw.values()))
    kept = member.end(stack, batches)
    for change, expected in raw.items():
        value = (expected - flat.min()) / (flat.max() - flat.min())
        torch.testing.assert_close(kept["importance/" + change], value.float(), rtol=1e-4, atol=1e-6)


def test_without_fusion_and_orthogonality_it_is_sequential_bit_for_bit(stack: ModuleStack, run_phase: RunPhase) -> None:
    results = []
    off = {"rank": 2, "fusion": "none", "orthogonality": 0.0}
    for method, options in (("lora_sequential", {"rank": 2}), ("kif", off), ("kif", {"rank": 2})):
        other = copy.deepcopy(stack)
        run_phase(other, method, "one", options)
        run_phase(other, method, "three", options)
        results.append(other.module_tensors("three"))
    plain, without, with_all = results
    assert all(torch.equal(without[key], value) for key, value in plain.items())
    assert not all(torch.equal(with_all[key], value) for key, value in plain.items())


def test_the_first_phase_is_kept_as_it_is(stack: ModuleStack, run_phase: RunPhase) -> None:
    plain = copy.deepcopy(stack)
    run_phase(plain, "kif", "one", {"fusion": "none"})
    run_phase(stack, "kif", "one")
    assert all(
        torch.equal(stack.module_tensors("one")[key], value) for key, value in plain.module_tensors("one").items()
    )


@pytest.mark.parametrize("fusion", ["static", "softmax", "average", "none"])
def test_every_ablation_can_be_run(stack: ModuleStack, run_phase: RunPhase, fusion: str) -> None:
    for name in ("one", "three", "seven"):
        run_phase(stack, "kif", name, {"rank": 2, "fusion": fusion})
    assert all(torch.isfinite(value).all() for value in stack.module_tensors("seven").values())
    assert stack.manifest.current() == ("seven",)


def test_replay_around_it_fuses_as_well(stack: ModuleStack, run_phase: RunPhase) -> None:
    options = {"method": "kif", "method_options": {"rank": 2}, "share": 0.3}
    run_phase(stack, "replay", "one", options)
    run_phase(stack, "replay", "three", options)
    assert {key.partition("/")[0] for key in stack.method_tensors("three")} == {
        "importance",
        "phase_importance",
        "replay",
    }


def test_options_that_make_no_sense() -> None:
    with pytest.raises(GrowlmError, match=r"kif orthogonality -1.0 is too small"):
        methods.build("kif", {"orthogonality": -1.0})
    with pytest.raises(GrowlmError, match=r"kif beta2 -0.5 is not between 0 and 1"):
        methods.build("kif", {"beta2": -0.5})
