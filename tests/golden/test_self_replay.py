"""Self-generated replay: who writes the texts, and the distance from what was said of them."""

from typing import Any

import pytest
import torch
from torch import nn

from growlm.errors import GrowlmError
from growlm.methods._sampling import sample_texts
from growlm.methods.self_replay import SelfReplay
from growlm.registry import methods
from growlm.stack.loss import trained_token_losses
from growlm.stack.stack import ModuleStack
from tests.golden.conftest import RunPhase, encoded

OPTIONS = {"rank": 4, "num_texts": 5, "rows": 3, "length": 9, "weight": 2.0}


def test_the_loss_from_its_formula(stack: ModuleStack, run_phase: RunPhase, begin: Any) -> None:
    run_phase(stack, "self_replay", "one", OPTIONS)
    member, batches = begin(stack, "self_replay", OPTIONS, "three", encoded(3))
    assert isinstance(member, SelfReplay)
    assert member._texts == sample_texts(stack, ("one",), 5, "self_replay/0/three", 9)
    assert member._texts != sample_texts(stack, (), 5, "self_replay/0/three", 9)  # the base would write others
    with torch.no_grad():
        for parameter in stack.module_parameters("three").values():
            parameter += 0.2 * torch.randn(parameter.shape)
    task = trained_token_losses(stack, batches(0)).mean()
    torch.manual_seed(4)
    loss = member.loss(stack, batches(0))
    torch.manual_seed(4)
    ids = torch.tensor([member._texts[index].input_ids for index in torch.randint(5, (3,)).tolist()])
    now = stack(ids).logits[:, :-1].float().log_softmax(-1)
    with torch.no_grad(), stack.active("one"):
        before = stack(ids).logits[:, :-1].float().softmax(-1)
    distance = nn.functional.kl_div(now, before, reduction="none").sum(-1).mean()
    assert distance > 1e-3
    torch.testing.assert_close(loss, task + 2 * distance)
    assert member.extra_forward_rows == 3
    assert member.replayed_rows == member.kept_rows == 0
    assert member.generated_rows == len(member._texts) > 0


def test_before_the_first_phase_the_base_writes(stack: ModuleStack, begin: Any) -> None:
    member, batches = begin(stack, "self_replay", OPTIONS, "one", encoded(3))
    assert isinstance(member, SelfReplay)
    assert member._texts == sample_texts(stack, (), 5, "self_replay/0/one", 9)
    # the new module says what the base says, so there is no distance yet
    torch.testing.assert_close(member.loss(stack, batches(0)), trained_token_losses(stack, batches(0)).mean())


@pytest.mark.parametrize(("option", "value"), [("weight", -1.0), ("rows", 0), ("num_texts", 0), ("length", 1)])
def test_options_that_make_no_sense(option: str, value: Any) -> None:
    with pytest.raises(GrowlmError, match=f"self_replay {option} {value} is too small"):
        methods.build("self_replay", {option: value})
