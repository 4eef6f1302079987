"""Examples that share a row do not see each other, and frozen weights in bf16 change nothing."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from growlm.base.architecture import FAMILIES
from growlm.data.batches import collate, pack
from growlm.data.encode import Encoded
from growlm.files import tensor_digests
from growlm.modules.lora import Lora
from growlm.stack.half_weights import half_frozen_linears
from growlm.stack.loss import trained_token_losses

PACKABLE = [name for name, family in FAMILIES.items() if family.plain_attention]
EXAMPLES = [Encoded(f"x{n}", tuple(range(4 + n, 16 + 2 * n)), (False,) * 4 + (True,) * (8 + n)) for n in range(5)]


@pytest.mark.parametrize("family", PACKABLE)
def test_losses_and_gradients_are_those_of_rows_of_their_own(new_stack: Callable[..., Any], family: str):
    stack = new_stack(family)
    parameters = list(stack.module_parameters("first").values())
    for parameter in parameters:
        parameter.requires_grad_(True)
    found = []
    for batch in (collate(EXAMPLES, 3), pack(EXAMPLES, 3, 40)):
        losses = trained_token_losses(stack, batch)
        gradients = torch.autograd.grad(losses.mean(), parameters)
        found.append((losses.sort().values, *gradients))
    for alone, packed in zip(*found, strict=True):
        torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", PACKABLE)
def test_another_examples_tokens_change_no_bit(new_stack: Callable[..., Any], family: str):
    stack = new_stack(family)
    batch = pack(EXAMPLES, 3, 40)
    assert batch.position_ids is not None
    first = batch.position_ids.new_tensor(range(batch.input_ids.shape[1]))
    second_start = int((batch.position_ids[0] == 0).nonzero()[1])
    changed = batch.input_ids.clone()
    changed[0, :second_start] = 7
    with torch.no_grad():
        before = stack.hidden_states(batch.input_ids, position_ids=batch.position_ids)
        after = stack.hidden_states(changed, position_ids=batch.position_ids)
    assert torch.equal(before[0, first >= second_start], after[0, first >= second_start])
    assert not torch.equal(before[0, :second_start], after[0, :second_start])


def test_weights_in_bf16_give_the_same_bits_and_are_restored(new_stack: Callable[..., Any]):
    stack = new_stack()
    next(module for module in stack.base.modules() if isinstance(module, nn.Linear)).weight.data += 1e-4
    batch, digests = collate(EXAMPLES, 3), tensor_digests(stack.frozen_tensors())
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        before = trained_token_losses(stack, batch)
        with half_frozen_linears(stack):
            weights = {module.weight.dtype for module in stack.base.modules() if isinstance(module, nn.Linear)}
            assert torch.equal(trained_token_losses(stack, batch), before)
    assert torch.bfloat16 in weights
    assert tensor_digests(stack.frozen_tensors()) == digests


def test_of_what_is_merged_the_copy_alone_is_held_in_bf16(new_stack: Callable[..., Any]):
    stack = new_stack(modules=("first",))
    stack.attach("second", {"lora": Lora(rank=2)}, ("first",))
    stack.merge_frozen()
    batch = collate(EXAMPLES, 3)
    site = stack.sites()["model.layers.0.mlp.up_proj"]
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        before = trained_token_losses(stack, batch)
        with half_frozen_linears(stack):
            assert site.original.weight.dtype == torch.float32
            assert site.merged_for_path().layer[0].weight.dtype == torch.bfloat16
            assert torch.equal(trained_token_losses(stack, batch), before)
