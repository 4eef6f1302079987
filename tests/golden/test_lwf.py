"""Learning without forgetting: the loss against torch's own divergence, and whose word the teacher's is."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from growlm.errors import GrowlmError
from growlm.methods.lwf import distillation_loss
from growlm.registry import methods
from growlm.stack.loss import trained_logits, trained_token_losses
from growlm.stack.stack import ModuleStack
from tests.golden.conftest import RunPhase, encoded


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_distillation_loss_is_the_divergence_of_torch(temperature: float) -> None:
    student, teacher = torch.randn(5, 11, requires_grad=True), torch.randn(5, 11)
    loss = distillation_loss(student, teacher, temperature)
    expected = temperature**2 * nn.functional.kl_div(
        (student / temperature).log_softmax(-1), (teacher / temperature).softmax(-1), reduction="batchmean"
    )
    torch.testing.assert_close(loss, expected)
    # the gradient is that of the paper's cross-entropy
    softened = nn.functional.cross_entropy(student / temperature, (teacher / temperature).softmax(-1))
    torch.testing.assert_close(
        torch.autograd.grad(loss, student)[0], temperature**2 * torch.autograd.grad(softened, student)[0]
    )


def test_the_distillation_loss_by_hand() -> None:
    # temperature 2: the teacher's odds of 16 to 1 become 4 to 1, the student is undecided
    teacher, student = torch.tensor([[16.0, 1.0]]).log(), torch.zeros(1, 2)
    expected = 4 * (0.8 * torch.tensor(0.8 / 0.5).log() + 0.2 * torch.tensor(0.2 / 0.5).log())
    torch.testing.assert_close(distillation_loss(student, teacher, 2.0), expected)
    assert distillation_loss(teacher, teacher, 2.0) == 0


def test_the_version_before_teaches(stack: ModuleStack, run_phase: RunPhase, begin: Any) -> None:
    run_phase(stack, "lwf", "one")
    run_phase(stack, "lwf", "three")
    member, batches = begin(stack, "lwf", {"weight": 0.7, "temperature": 3.0}, "seven", encoded(7))
    batch = batches(0)
    torch.testing.assert_close(member.loss(stack, batch), trained_token_losses(stack, batch).mean())  # they agree yet
    with torch.no_grad():
        for parameter in stack.module_parameters("seven").values():
            parameter += 0.02 * torch.randn(parameter.shape)
    with stack.active("three"):
        teacher, _ = trained_logits(stack, batch)
    student, targets = trained_logits(stack, batch)
    divergence = nn.functional.kl_div((student / 3).log_softmax(-1), (teacher / 3).softmax(-1), reduction="batchmean")
    assert divergence > 1e-3
    expected = nn.functional.cross_entropy(student, targets) + 0.7 * 9 * divergence
    loss = member.loss(stack, batch)
    torch.testing.assert_close(loss, expected)
    assert stack.path == ("seven",)
    loss.backward()
    assert {key for key, value in stack.named_parameters() if value.grad is not None} == {
        key for key, value in stack.named_parameters() if "seven:" in key
    }


def test_the_first_phase_has_a_teacher_only_if_asked(stack: ModuleStack, begin: Any) -> None:
    for options, taught in (({}, False), ({"from_base": True}, True)):
        member, batches = begin(stack, "lwf", options, "one", encoded(3))
        with torch.no_grad():
            for parameter in stack.module_parameters("one").values():
                parameter += 0.02
        task = trained_token_losses(stack, batches(0)).mean()
        loss = member.loss(stack, batches(0))
        with stack.active():
            teacher, _ = trained_logits(stack, batches(0))
        student, _ = trained_logits(stack, batches(0))
        expected = task + (distillation_loss(student, teacher, 2.0) if taught else 0)
        assert (expected > task + 1e-4) == taught
        torch.testing.assert_close(loss, expected)
        stack.detach("one")


def test_without_weight_it_is_sequential_bit_for_bit(stack: ModuleStack, run_phase: RunPhase) -> None:
    results = []
    for method, options in (("sequential", {}), ("lwf", {"weight": 0.0, "from_base": True}), ("lwf", {})):
        other = copy.deepcopy(stack)
        run_phase(other, method, "one", options)
        run_phase(other, method, "three", options)
        results.append(other.module_tensors("three"))
    parent, off, on = results
    assert all(torch.equal(off[key], value) for key, value in parent.items())
    assert not all(torch.equal(on[key], value) for key, value in parent.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"weight": -0.5}, "lwf weight -0.5 is too small"), ({"temperature": 0.0}, "lwf temperature 0.0 is too small")],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GrowlmError, match=message):
        methods.build("lwf", options)
