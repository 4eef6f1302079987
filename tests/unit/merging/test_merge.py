"""Merging a path into a stock model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from growlm.errors import GrowlmError
from growlm.modules.block import Block
from growlm.modules.lora import LoraPart
from growlm.modules.site import Part
from growlm.stack.stack import ModuleStack

NewStack = Callable[..., Any]
TOKENS = torch.arange(6, 42).reshape(2, 18)


def test_the_stack_is_not_changed(new_stack: NewStack) -> None:
    stack = new_stack(modules=("first", "second"))
    before = stack(TOKENS).logits
    merged = stack.merged()
    assert torch.equal(stack(TOKENS).logits, before)
    assert stack.verify() == len(stack.frozen_tensors())
    shared = {value.data_ptr() for value in stack.parameters()} & {value.data_ptr() for value in merged.parameters()}
    assert shared == set()
    assert not any(parameter.requires_grad for parameter in merged.parameters())
    assert not merged.training


@pytest.mark.parametrize("path", [(), ("first",), ("first", "second")])
def test_any_path(new_stack: NewStack, path: tuple[str, ...]) -> None:
    stack = new_stack(modules=("first", "second"))
    with stack.active(*path):
        expected = stack(TOKENS).logits
    torch.testing.assert_close(stack.merged(path)(TOKENS).logits, expected, rtol=1e-4, atol=1e-5)


def test_a_path_that_is_none(new_stack: NewStack) -> None:
    with pytest.raises(GrowlmError, match="lacks first"):
        new_stack(modules=("first", "second")).merged(("second",))


def test_inserted_layers_become_layers(new_stack: NewStack) -> None:
    stack = new_stack(modules=())
    stack.attach("first", {"block": Block(after=[0, 3])})
    merged = stack.merged()
    assert merged.config.num_hidden_layers == 6
    assert len(merged.model.layers) == 6
    assert stack.merged(()).config.num_hidden_layers == 4


def test_a_kind_that_is_no_change_of_a_weight_is_refused(new_stack: NewStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = new_stack()
    monkeypatch.setattr(LoraPart, "delta_weight", Part.delta_weight)
    with pytest.raises(GrowlmError, match="LoraPart is not a change of a weight and cannot be merged"):
        stack.merged()
    with pytest.raises(GrowlmError, match="LoraPart is not a decoder layer"):
        LoraPart(2, 2, 1, 1.0, 0.0, None).inserted_layer()


def test_attention_that_is_scaled_by_the_layers_index_keeps_its_scale(tmp_path: Path) -> None:
    config = GPT2Config(
        vocab_size=320, n_embd=32, n_layer=4, n_head=4, n_positions=64, scale_attn_by_inverse_layer_idx=True
    )
    torch.manual_seed(0)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    stack = ModuleStack.from_base(str(tmp_path), dtype=torch.float64).eval()  # so that rounding hides nothing
    stack.attach("first", {"block": Block(after=[0, 2])})
    with torch.no_grad():
        for parameter in stack.module_parameters("first").values():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    ids = torch.arange(6, 42).reshape(2, 18)
    torch.testing.assert_close(stack.merged()(ids).logits, stack(ids).logits, rtol=0, atol=1e-6)
