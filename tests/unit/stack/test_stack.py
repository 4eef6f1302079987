"""What the stack refuses, and paths within a block; what holds for every kind is in tests/contracts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.files import tensor_digests, write_tensors
from growlm.modules.block import Block
from growlm.modules.lora import Lora
from growlm.registry import module_kinds
from growlm.stack.stack import ModuleStack

NewStack = Callable[..., Any]
TOKENS = torch.arange(6, 42).reshape(2, 18)


@pytest.mark.parametrize(
    ("name", "on", "message"),
    [
        ("first", None, "has a module 'first' already"),
        ("base", None, "the bare base's path: choose another name"),
        ("../x", None, "cannot be a name"),
        ("third", ("second",), "lacks first, which 'second' was grown on"),
        ("third", ("secnod",), "unknown module 'secnod': did you mean 'second'"),
    ],
)
def test_what_cannot_be_attached(new_stack: NewStack, name: str, on: tuple[str, ...] | None, message: str) -> None:
    stack = new_stack(modules=("first", "second"))
    parameters = list(dict(stack.named_parameters()))
    with pytest.raises(GrowlmError, match=message):
        stack.attach(name, {"lora": Lora()}, on)
    assert list(dict(stack.named_parameters())) == parameters
    assert stack.path == ("first", "second")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Lora(target_modules=["c_attn"]), "target module 'c_attn' is not in this base: use some of down_proj"),
        (Lora(layers=[4]), r"layers \[4\] do not fit this base: give different numbers from 0 to 3"),
        (Lora(layers=[1, 1]), r"layers \[1, 1\] do not fit"),
        (Lora(layers=[-1]), r"layers \[-1\] do not fit"),
        (Block(num_blocks=3), "num_blocks 3 is more than the 2 deep layers"),
        (Block(after=[7]), r"layers \[7\] do not fit"),
    ],
)
def test_kinds_that_do_not_fit_leave_the_stack_as_it_was(new_stack: NewStack, kind: Any, message: str) -> None:
    stack = new_stack()
    before = stack(TOKENS).logits
    with pytest.raises(GrowlmError, match=message):
        stack.attach("second", {"kind": kind})
    assert list(stack.parents()) == ["first"]
    assert torch.equal(stack(TOKENS).logits, before)


def test_freezing_what_does_not_grow(new_stack: NewStack) -> None:
    stack = new_stack()
    with pytest.raises(GrowlmError, match="no module 'first' is growing: attach it first"):
        stack.freeze(stack.manifest.modules[0])


def test_detaching_gives_the_base_back(new_stack: NewStack) -> None:
    stack = new_stack(modules=())
    names, logits = list(dict(stack.base.named_modules())), stack(TOKENS).logits
    stack.attach("first", {"lora": Lora(rank=2), "block": Block()})
    assert len(stack.config.inserted_after) == 2
    stack.detach("first")
    assert list(dict(stack.base.named_modules())) == names
    assert stack.config.inserted_after == []
    assert stack.path == ()
    assert torch.equal(stack(TOKENS).logits, logits)


def test_undoing_nothing(new_stack: NewStack) -> None:
    with pytest.raises(GrowlmError, match="no module to undo"):
        new_stack(modules=()).undo()


def test_paths_within_a_block_of_code(new_stack: NewStack) -> None:
    stack = new_stack(modules=("first", "second"))
    with stack.active("first"):
        assert stack.path == ("first",)
        with stack.active():
            assert stack.path == ()
        assert stack.path == ("first",)
    assert stack.path == ("first", "second")
    with pytest.raises(ValueError, match="anything"), stack.active():
        raise ValueError("anything")
    assert stack.path == ("first", "second")
    with stack.active("second", closed=False):
        assert stack.path == ("second",)
    with pytest.raises(GrowlmError, match="lacks first"), stack.active("second"):
        pass
    assert stack.path_of("second") == ("first", "second")
    assert stack.path_of("base") == ()


def test_rows_take_paths_within_a_block_of_code(new_stack: NewStack) -> None:
    stack = new_stack(modules=("first", "second"))
    whole = stack(TOKENS).logits
    with stack.active_rows([("first",), ("first", "second")]):
        assert torch.equal(stack(TOKENS).logits[1], whole[1])
    assert stack.path == ("first", "second")
    assert torch.equal(stack(TOKENS).logits, whole)


def test_the_same_seed_attaches_the_same_values(new_stack: NewStack) -> None:
    tensors = []
    for seed in (1, 1, 2):
        stack = new_stack(modules=())
        stack.attach("first", {"lora": Lora(rank=2)}, seed=seed)
        tensors.append(torch.cat([value.flatten() for value in stack.module_tensors("first").values()]))
    assert torch.equal(tensors[0], tensors[1])
    assert not torch.equal(tensors[0], tensors[2])


def test_a_file_that_does_not_fit_its_manifest(new_stack: NewStack, tmp_path: Path) -> None:
    stack = new_stack()
    # a manifest whose digests are right but whose kinds ask for other tensors
    stack.manifest = replace(
        stack.manifest, modules=(replace(stack.manifest.modules[0], kinds={"lora": Lora(rank=3).options()}),)
    )
    stack.save_pretrained(tmp_path / "stack")
    with pytest.raises(GrowlmError, match=r"tensor 'lora\.\S+' does not fit the kinds in module.json"):
        ModuleStack.from_pretrained(tmp_path / "stack")


def test_what_a_method_keeps_is_checked_when_it_is_asked_for(new_stack: NewStack, tmp_path: Path) -> None:
    stack = new_stack()
    kept = {"fisher": torch.arange(3.0)}
    record = replace(stack.undo(), name="second", kinds={"lora": Lora().options()}, parents=())
    stack.attach("second", {"lora": Lora()})
    tensors = tensor_digests(stack.module_tensors("second"))
    stack.freeze(replace(record, tensors=tensors, method_tensors=tensor_digests(kept)), kept)
    stack.save_pretrained(tmp_path)
    loaded = ModuleStack.from_pretrained(tmp_path)
    assert loaded.method_tensors("second")["fisher"].equal(kept["fisher"])
    write_tensors(next(tmp_path.rglob("method.safetensors")), {"fisher": torch.ones(3)})
    damaged = ModuleStack.from_pretrained(tmp_path)
    with pytest.raises(GrowlmError, match=r"method\.safetensors: tensor 'fisher' was changed"):
        damaged.method_tensors("second")


def test_half_precision_computes_nearly_the_same(new_stack: NewStack, tmp_path: Path) -> None:
    stack = new_stack()
    stack.save_pretrained(tmp_path / "stack")
    halved = ModuleStack.from_pretrained(tmp_path / "stack", dtype=torch.bfloat16)
    assert halved.dtype == torch.bfloat16
    assert halved.verify() == len(halved.frozen_tensors())
    torch.testing.assert_close(halved(TOKENS).logits.float(), stack(TOKENS).logits, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("cast", ["when loaded", "afterwards"])
def test_a_stack_in_half_precision_is_saved_as_it_was_frozen(new_stack: NewStack, tmp_path: Path, cast: str) -> None:
    new_stack().save_pretrained(tmp_path / "stack")
    if cast == "when loaded":
        halved = ModuleStack.from_pretrained(tmp_path / "stack", dtype=torch.bfloat16)
    else:
        halved = ModuleStack.from_pretrained(tmp_path / "stack").to(torch.bfloat16)
    halved.save_pretrained(tmp_path / "copy")
    stored, copied = (next((tmp_path / name).rglob("module.safetensors")).read_bytes() for name in ("stack", "copy"))
    assert copied == stored
    ModuleStack.from_pretrained(tmp_path / "copy")


@pytest.mark.parametrize("loaded", [False, True])
def test_a_frozen_tensor_that_was_changed_is_not_saved(new_stack: NewStack, tmp_path: Path, loaded: bool) -> None:
    stack = new_stack()
    if loaded:
        stack.save_pretrained(tmp_path / "stack")
        stack = ModuleStack.from_pretrained(tmp_path / "stack")
    name, parameter = next(iter(stack.module_parameters("first").items()))
    parameter.data.view(-1)[0] += 1
    with pytest.raises(GrowlmError, match=f"module 'first' in memory.*{name}.*was changed"):
        stack.save_pretrained(tmp_path / "copy")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("kind", ["lora", "block", "embedding", "dense", "prefix", "bottleneck", "subspace", "experts"])
def test_modules_grow_on_a_base_of_any_precision(tiny_bases: dict[str, Path], dtype: torch.dtype, kind: str) -> None:
    stack = ModuleStack.from_base(str(tiny_bases["llama"]), dtype=dtype)
    before = stack(TOKENS).logits
    stack.attach("first", {kind: module_kinds.build(kind)})
    assert all(parameter.itemsize >= 4 for parameter in stack.module_parameters("first").values())
    output = stack.train()(TOKENS, use_cache=False).logits
    assert output.dtype == dtype
    assert torch.equal(stack.eval()(TOKENS).logits, before)
    output.float().square().mean().backward()
    assert any(parameter.grad is not None for parameter in stack.module_parameters("first").values())


def test_the_embedding_of_a_frozen_base_is_not_resized(new_stack: NewStack) -> None:
    with pytest.raises(GrowlmError, match="the base of a stack is frozen: resize the stock model"):
        new_stack().resize_token_embeddings(400)
