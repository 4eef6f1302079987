"""On-policy distillation: who teaches, on what, and how far the student is from it."""

from typing import Any

import pytest
import torch
from torch import nn

from growlm.errors import GrowlmError
from growlm.methods._sampling import sample_answers
from growlm.methods.distill import Distill
from growlm.registry import methods
from growlm.stack.loss import trained_token_losses
from growlm.stack.stack import ModuleStack
from tests.golden.conftest import RunPhase, encoded

OPTIONS = {"warmup_steps": 1, "max_new_tokens": 3, "rank": 4}


class Routes:
    """A router that sends every prompt to the path of the first module, but the last prompt to the base."""

    def choose(self, stack: ModuleStack, prompts: list[tuple[int, ...]]) -> list[tuple[str, ...]]:
        return [("one",)] * (len(prompts) - 1) + [()]


@pytest.mark.parametrize("routed", [False, True])
def test_the_loss_from_its_formula(stack: ModuleStack, run_phase: RunPhase, begin: Any, routed: bool) -> None:
    run_phase(stack, "grow", "one", {"module": {"lora": {"rank": 4}}}, steps=8, rate=1.0)
    run_phase(stack, "grow", "other", {"module": {"lora": {"rank": 4}}}, steps=8, rate=1.0)
    if routed:
        stack.router = Routes()  # type: ignore[assignment]
    member, batches = begin(stack, "distill", OPTIONS, "student", encoded(3))
    assert isinstance(member, Distill)
    assert stack.path == ("student",)
    batch = batches(0)
    torch.testing.assert_close(member.loss(stack, batch), trained_token_losses(stack, batch).mean())  # warming up
    with torch.no_grad():
        for parameter in stack.module_parameters("student").values():
            parameter += 0.2 * torch.randn(parameter.shape)
    loss = member.loss(stack, batch)
    prompts = [tuple(row[:2]) for row in batch.input_ids.tolist()]  # the first trained token is the third
    teachers = [("one",), ("one",), ()] if routed else [("one", "other")] * 3
    distances = []
    for prompt, answer, teacher in zip(
        prompts, sample_answers(stack, ("student",), prompts, 3, 1.0, "distill/0/student/2"), teachers, strict=True
    ):
        ids = torch.tensor([[*prompt, *answer]])
        own = stack(ids).logits[0, 1:-1].log_softmax(-1)
        with torch.no_grad(), stack.active(*teacher):
            taught = stack(ids).logits[0, 1:-1].softmax(-1)
        distances.append(nn.functional.kl_div(own, taught, reduction="none").sum(-1))
    torch.testing.assert_close(loss, torch.cat(distances).mean())
    assert loss > 1e-3
    assert member.extra_forward_rows == member.generated_rows == 3
    loss.backward()
    assert all(parameter.grad is not None for parameter in stack.module_parameters("student").values())


def test_a_stack_without_modules_has_no_teacher(stack: ModuleStack, begin: Any) -> None:
    member, batches = begin(stack, "distill", {**OPTIONS, "warmup_steps": 0}, "student", encoded(3))
    torch.testing.assert_close(member.loss(stack, batches(0)), trained_token_losses(stack, batches(0)).mean())
    assert member.extra_forward_rows == 0


def test_the_student_grows_on_the_bare_base(stack: ModuleStack) -> None:
    member = methods.build("distill", {"weights": "all"})
    assert member.grow_on(stack, ("one", "two")) == ()
    assert member.inference == "oracle"


@pytest.mark.parametrize(
    ("option", "value"), [("warmup_steps", -1), ("max_new_tokens", 0), ("temperature", 0.0), ("rank", 0)]
)
def test_options_that_make_no_sense(stack: ModuleStack, option: str, value: Any) -> None:
    with pytest.raises(GrowlmError, match="is too small"):
        methods.build("distill", {option: value}).build(stack, None)
