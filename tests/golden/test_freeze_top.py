"""Training the top layers: which ones, how many of them, and that a phase goes on from the last one."""

from pathlib import Path

import pytest
import torch

from growlm.base.architecture import FAMILIES, Architecture
from growlm.base.load import load_base
from growlm.base.presets import PRESETS, build_base
from growlm.errors import GrowlmError
from growlm.methods.freeze_top import grown_parameters, layer_sizes, nearest_number
from growlm.registry import methods
from growlm.stack.stack import ModuleStack
from tests.contracts.conftest import DECODERS, tokens
from tests.golden.conftest import NO_SKILL, RunPhase

OF_EXPERTS = ("experts.gate_up_proj", "experts.down_proj", "mlp.gate.weight")
"""Of a mixture's layers: the experts and the router, whose outputs are not linear in their weights."""


@pytest.mark.parametrize("family", DECODERS)
def test_exactly_the_top_layers_are_trained(tiny_bases: dict[str, Path], run_phase: RunPhase, family: str) -> None:
    stack = ModuleStack.from_base(str(tiny_bases[family])).eval()
    run_phase(stack, "freeze_top", "first", {"num_layers": 2})
    stock = load_base(tiny_bases[family])
    top = tuple(f"{FAMILIES[family].layers}.{layer}." for layer in (2, 3))
    expected = {
        f"dense.{name}".replace(".weight", ".layer.weight").replace(".bias", ".layer.bias")
        for name, _ in stock.named_parameters()
        if name.startswith(top) and not name.endswith(OF_EXPERTS)
    }
    tensors = stack.module_tensors("first")
    assert set(tensors) == expected
    assert any(tensor.any() for tensor in tensors.values())


def test_merged_only_the_top_layers_differ_from_the_base(stack: ModuleStack, run_phase: RunPhase) -> None:
    run_phase(stack, "freeze_top", "first", {"num_layers": 1}, rate=1.0)
    base, merged = stack.base_tensors(), dict(stack.merged().named_parameters())
    moved = {name for name, tensor in base.items() if not torch.equal(tensor, merged[name])}
    assert moved == {name for name in base if name.startswith("model.layers.3.")}


def test_all_layers_are_what_sequential_trains_of_them(stack: ModuleStack) -> None:
    kinds = methods.build("freeze_top", {"num_layers": 4}).build(stack, NO_SKILL)
    stack.attach("first", kinds)
    top = set(stack.module_parameters("first"))
    stack.attach("second", methods.build("sequential").build(stack, NO_SKILL))
    assert top == {name for name in stack.module_parameters("second") if name.startswith("dense.model.layers.")}


def test_a_phase_goes_on_from_the_last_one(stack: ModuleStack, run_phase: RunPhase) -> None:
    run_phase(stack, "freeze_top", "one")
    with stack.active("one"):
        before = stack(tokens()).logits
    run_phase(stack, "freeze_top", "three", steps=0)
    assert stack.manifest.current() == ("three",)
    assert stack.path_of("one") == ("three",)
    assert torch.equal(stack(tokens()).logits, before)
    with stack.active():
        assert not torch.equal(stack(tokens()).logits, before)


def test_by_default_as_much_is_trained_as_grow_adds(stack: ModuleStack) -> None:
    stack.attach("grown", methods.build("grow").build(stack, NO_SKILL), ())
    added = sum(parameter.numel() for parameter in stack.module_parameters("grown").values())
    assert grown_parameters(stack.architecture) == added  # with parts in place they are not counted as the base's
    sizes = layer_sizes(stack.architecture)
    stock = [sum(p.numel() for p in layer.parameters()) for layer in load_base(stack.manifest.base.source).model.layers]
    assert sizes == stock
    stack.attach("top", methods.build("freeze_top").build(stack, NO_SKILL), ())
    trained = sum(parameter.numel() for parameter in stack.module_parameters("top").values())
    assert trained == sum(sizes) < added  # the vocabulary is large beside layers so small


@pytest.mark.parametrize(("size", "number"), [("nano", 3), ("mini", 2), ("50m", 1)])
def test_the_shipped_sizes(size: str, number: int) -> None:
    """LoRA of rank 32 on all linears and on the embedding, against layers of four square and three oblong linears."""
    shape = PRESETS[size]
    hidden, inner = shape.hidden_size, shape.intermediate_size
    layer = 4 * hidden**2 + 3 * hidden * inner + 2 * hidden
    low_rank = 32 * (4 * 2 * hidden + 3 * (hidden + inner))
    embedding = 32 * (8_192 + hidden)
    with torch.device("meta"):
        architecture = Architecture(build_base(size))
    assert layer_sizes(architecture) == [layer] * shape.num_layers
    assert grown_parameters(architecture) == shape.num_layers * low_rank + embedding
    assert nearest_number([layer] * shape.num_layers, grown_parameters(architecture)) == number


@pytest.mark.parametrize(("wanted", "number"), [(0, 1), (14, 1), (15, 1), (16, 2), (30, 2), (31, 3), (1_000, 3)])
def test_the_nearest_number(wanted: int, number: int) -> None:
    assert nearest_number([10, 10, 20], wanted) == number


def test_what_is_refused(stack: ModuleStack) -> None:
    with pytest.raises(GrowlmError, match="num_layers 0 is too small: give 1 or more"):
        methods.build("freeze_top", {"num_layers": 0})
    with pytest.raises(GrowlmError, match="num_layers 5 is more than the base's 4 layers: give fewer"):
        methods.build("freeze_top", {"num_layers": 5}).build(stack, NO_SKILL)
