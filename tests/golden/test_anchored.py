"""Anchored losses by hand and against torch's own divergence."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from growlm.errors import GrowlmError
from growlm.methods.anchored import divergence_without_target, top_entropy_share
from growlm.registry import methods
from growlm.stack.loss import trained_logits
from growlm.stack.stack import ModuleStack
from tests.golden.conftest import encoded


def test_the_divergence_without_the_target_by_hand() -> None:
    # without the first token (1/2, 1/4, 1/4) is (1/2, 1/2), and (1/8, 3/4, 1/8) is (6/7, 1/7)
    base, model = torch.tensor([[2.0, 1, 1]]).log(), torch.tensor([[1.0, 6, 1]]).log()
    expected = 0.5 * math.log(0.5 / (6 / 7)) + 0.5 * math.log(0.5 / (1 / 7))
    found = divergence_without_target(base, model, torch.tensor([0]))
    assert found.tolist() == pytest.approx([expected])


def test_the_right_token_is_not_held_back() -> None:
    base, logits = torch.randn(6, 9), torch.randn(6, 9, requires_grad=True)
    targets = torch.arange(6)
    divergence_without_target(base, logits, targets).sum().backward()
    assert logits.grad is not None
    assert (logits.grad[range(6), targets] == 0).all()
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().sum() > 0.1


def test_the_entropy_share_by_hand() -> None:
    # of the two likeliest, 3/4 and 1/4
    logits = torch.tensor([[3.0, 1, 0.5], [1, 1, 1]]).log()
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)
    assert top_entropy_share(logits, 2).tolist() == pytest.approx([entropy, 1.0])
    assert top_entropy_share(torch.zeros(1, 50)).tolist() == pytest.approx([1.0])


@pytest.mark.parametrize("anchor", ["kl", "tmkl", "asft", "eaft"])
def test_each_loss_from_its_formula(stack: ModuleStack, begin: Any, anchor: str) -> None:
    member, batches = begin(stack, "anchored", {"anchor": anchor, "beta": 0.3, "rank": 4}, "one", encoded(3))
    batch = batches(0)
    with torch.no_grad():
        for parameter in stack.module_parameters("one").values():
            parameter += 0.2 * torch.randn(parameter.shape)
    logits, targets = trained_logits(stack, batch)
    with stack.active():
        base, _ = trained_logits(stack, batch)
    task = nn.functional.cross_entropy(logits, targets, reduction="none")
    right = (-task).exp()
    distance = nn.functional.kl_div(logits.log_softmax(-1), base.softmax(-1), reduction="none").sum(-1)
    rows = torch.arange(len(targets))
    p, p0 = logits.softmax(-1), base.softmax(-1)
    rest, rest0 = (torch.where(nn.functional.one_hot(targets, p.shape[-1]) == 1, 0.0, q) for q in (p, p0))
    rest, rest0 = rest / (1 - p[rows, targets])[:, None], rest0 / (1 - p0[rows, targets])[:, None]
    masked = torch.where(rest0 > 0, rest0 * (rest0 / rest).log(), 0.0).sum(-1)
    top = p.sort(-1, descending=True).values[:, :20]
    top = top / top.sum(-1, keepdim=True)
    expected = {
        "kl": task + 0.3 * distance,
        "tmkl": task + 0.3 * masked,
        "asft": right * task + 0.3 * distance,
        "eaft": -(top * top.log()).sum(-1) / math.log(20) * task,
    }[anchor].mean()
    loss = member.loss(stack, batch)
    torch.testing.assert_close(loss, expected)
    assert distance.min() > 1e-4
    assert member.extra_forward_rows == (0 if anchor == "eaft" else 3)
    assert stack.path == ("one",)


@pytest.mark.parametrize(("anchor", "weight"), [("asft", "likelihood"), ("eaft", "entropy")])
def test_a_weight_is_a_constant(stack: ModuleStack, begin: Any, anchor: str, weight: str) -> None:
    member, batches = begin(stack, "anchored", {"anchor": anchor, "beta": 0.0}, "one", encoded(3))
    parameters = [value for key, value in stack.module_parameters("one").items() if key.endswith(".B")]
    found = torch.autograd.grad(member.loss(stack, batches(0)), parameters)
    logits, targets = trained_logits(stack, batches(0))
    task = nn.functional.cross_entropy(logits, targets, reduction="none")
    scale = (-task).exp() if weight == "likelihood" else top_entropy_share(logits)
    expected = torch.autograd.grad((scale.detach() * task).mean(), parameters)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_a_negative_beta_is_refused() -> None:
    with pytest.raises(GrowlmError, match=r"anchored beta -0.1 is too small"):
        methods.build("anchored", {"beta": -0.1})
