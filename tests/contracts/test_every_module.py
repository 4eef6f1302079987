"""What holds for every registered kind of module, alone and together, on every family of bases."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from growlm.base.architecture import FAMILIES
from growlm.errors import GrowlmError
from growlm.files import tensor_digests
from growlm.manifest import store
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds
from growlm.stack.stack import ModuleStack
from tests.contracts.conftest import build, disturb, freeze, grown, tokens

EmptyStack = Callable[..., ModuleStack]
Kinds = dict[str, ModuleKind]
MIXTURES = ("mixtral", "qwen2_moe", "qwen3_moe")
every_family = pytest.mark.parametrize("family", sorted(FAMILIES))


@every_family
def test_attaching_changes_no_bit(empty_stack: EmptyStack, kinds: Kinds, family: str) -> None:
    stack = empty_stack(family)
    before = stack(tokens()).logits
    stack.attach("first", kinds)
    assert torch.equal(stack(tokens()).logits, before)
    new = {name: value.clone() for name, value in stack.module_tensors("first").items()}
    changed = []
    for seed in range(4 if "experts" in kinds else 2):
        disturb(stack, "first", seed)
        changed.append(not torch.equal(stack(tokens()).logits, before))
        for name, value in stack.module_tensors("first").items():
            value.copy_(new[name])
    # experts alone may be closed to these tokens by a disturbance
    assert any(changed) if "experts" in kinds else all(changed)


@every_family
def test_cached_decoding_equals_uncached(empty_stack: EmptyStack, kinds: Kinds, family: str) -> None:
    stack = empty_stack(family)
    grown(stack, "first", kinds)
    grown(stack, "second", kinds)
    ids = tokens(length=12)
    whole = stack(ids, use_cache=False).logits
    cache, steps = None, []
    for begin, end in [(0, 9), *((t, t + 1) for t in range(9, 12))]:
        output = stack(ids[:, begin:end], past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        steps.append(output.logits)
    rounding = 1e-5 * max(1.0, float(whole.abs().max()))  # all kinds together make large logits
    torch.testing.assert_close(torch.cat(steps, 1), whole, rtol=1e-4, atol=rounding)
    for path in ("first",), ():  # the whole path has its logits above
        with stack.active(*path):
            settings: dict[str, Any] = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None}
            settings |= {"pad_token_id": 5, "suppress_tokens": [5]}  # 5 parts prompt and answer on some bases
            cached, uncached = (stack.generate(ids, use_cache=use, **settings) for use in (True, False))
        assert torch.equal(cached, uncached)


@every_family
def test_merged_stock_model_computes_the_same_or_is_refused(
    empty_stack: EmptyStack, kinds: Kinds, family: str, tmp_path: Path
) -> None:
    stack = empty_stack(family)
    grown(stack, "first", kinds)
    grown(stack, "second", kinds)
    with stack.active():
        base_logits = stack(tokens()).logits
    torch.testing.assert_close(stock_logits(stack.merged(())), base_logits, rtol=0, atol=0)
    expected = stack(tokens()).logits
    if not all(part.mergeable for site in stack.sites().values() for part in site.parts.values()):
        with pytest.raises(GrowlmError, match=r"module 'first' has a \w+, which no stock model can compute: merge a "):
            stack.merged()
        return
    merged = stack.merged()
    assert type(merged) is type(stack.base)
    torch.testing.assert_close(stock_logits(merged), expected, rtol=1e-4, atol=1e-5)
    merged.save_pretrained(tmp_path)
    reloaded = type(merged).from_pretrained(tmp_path, dtype=torch.float32)
    torch.testing.assert_close(stock_logits(reloaded), expected, rtol=1e-4, atol=1e-5)


def stock_logits(model: Any) -> torch.Tensor:
    """Return a stock model's logits of a few rows."""
    ids = tokens()
    if not model.config.is_encoder_decoder:
        return model(ids).logits
    start, end = model.config.decoder_start_token_id, model.config.eos_token_id
    answers = torch.cat([torch.full((len(ids), 1), start), ids], 1)
    return model(input_ids=torch.full((len(ids), 1), end), decoder_input_ids=answers).logits[:, 1:]


@every_family
@pytest.mark.parametrize("offload_to", [False, True])
def test_merged_frozen_modules_compute_the_same(
    empty_stack: EmptyStack, kinds: Kinds, family: str, offload_to: bool, tmp_path: Path
) -> None:
    stack = empty_stack(family)
    grown(stack, "first", kinds)
    grown(stack, "second", kinds)
    stack.attach("third", kinds)
    disturb(stack, "third")
    calls: list[str] = []
    for site in stack.sites().values():
        for key, part in site.parts.items():
            part.register_forward_pre_hook(lambda *_, key=key: calls.append(key))
    logits = {}
    for path in ("first",), ("first", "second", "third"):
        with stack.active(*path):
            logits[path] = stack(tokens()).logits
    stack.set_path(("first", "second", "third"))
    before = places(stack)
    stack.merge_frozen(tmp_path if offload_to else None)
    calls.clear()
    rounding = 5e-5 * max(1.0, float(logits[stack.path].detach().abs().max()))
    torch.testing.assert_close(stack(tokens()).logits, logits[stack.path], rtol=1e-4, atol=rounding)
    if set(kinds) <= {"lora", "subspace"}:  # changes of linears and nothing else
        assert {key.partition(":")[0] for key in calls} == {"third"}
        wrapped = {f"base/{path}.{name}" for path, site in stack.sites().items() for name in site.original.state_dict()}
        idle = {name for name in before if name in wrapped or name.startswith(("first/", "second/"))}
        assert {name for name, place in places(stack).items() if place != before[name]} == (
            idle if offload_to else set()
        )
    disturb(stack, "third", seed=5)  # what grows is not merged
    moved = stack(tokens()).logits
    with stack.active("first"):
        assert torch.equal(stack(tokens()).logits, logits[("first",)])
    stack.unmerge()
    rounding = 5e-5 * max(1.0, float(moved.detach().abs().max()))
    torch.testing.assert_close(stack(tokens()).logits, moved, rtol=1e-4, atol=rounding)


@every_family
def test_modules_off_the_path_are_offloaded(empty_stack: EmptyStack, kinds: Kinds, family: str, tmp_path: Path) -> None:
    stack = empty_stack(family)
    grown(stack, "first", kinds)
    grown(stack, "second", kinds, on=())
    stack.attach("third", kinds, on=())
    disturb(stack, "third")
    before, logits = places(stack), stack(tokens()).logits
    stack.merge_frozen(offload_to=tmp_path)
    moved = {name for name, place in places(stack).items() if place != before[name]}
    assert moved == {name for name in before if name.startswith(("first/", "second/"))}
    stack.verify()
    assert torch.equal(stack(tokens()).logits, logits)
    stack.unmerge()
    assert stack.verify() == len(before)


def places(stack: ModuleStack) -> dict[str, int]:
    """Return where in memory every frozen tensor is."""
    return {name: tensor.data_ptr() for name, tensor in stack.frozen_tensors().items()}


@every_family
def test_kinds_of_one_module_merge_together(empty_stack: EmptyStack, family: str) -> None:
    stack = empty_stack(family)
    together = ("lora", "dense", "subspace") if FAMILIES[family].encoder else ("block", "dense", "lora")
    grown(stack, "first", {kind: build(kind, family) for kind in together})
    expected = stack(tokens()).logits
    torch.testing.assert_close(stock_logits(stack.merged()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", sorted(module_kinds))
def test_kinds_that_do_not_fit_an_encoder_decoder_are_refused(empty_stack: EmptyStack, kind: str) -> None:
    stack = empty_stack("t5")
    fits = module_kinds.get(kind).encoder_decoder
    refused = pytest.raises(GrowlmError, match=f"^{kind} cannot be attached to an encoder-decoder: use dense, lora")
    with nullcontext() if fits else refused:
        stack.attach("first", {kind: build(kind, "t5")})


@every_family
def test_rows_see_nothing_of_modules_off_their_path(empty_stack: EmptyStack, kinds: Kinds, family: str) -> None:
    stack = empty_stack(family)
    grown(stack, "first", kinds)
    grown(stack, "second", kinds)
    paths = [(), ("first",), ("first", "second")]
    with stack.active_rows(paths):
        mixed = stack(tokens()).logits
    for row, path in enumerate(paths):
        with stack.active(*path):
            alone = stack(tokens()).logits
        # an expert gets the tokens of all rows at once, examples lengthen all rows, and other counts round otherwise
        if family in MIXTURES or "demonstrations" in kinds:
            rounding = 1e-5 * max(1.0, float(alone[row].abs().max()))
            torch.testing.assert_close(mixed[row], alone[row], rtol=1e-4, atol=rounding)
        else:
            assert torch.equal(mixed[row], alone[row])


def test_paths_stay_bit_equal_over_five_phases(empty_stack: EmptyStack, kinds: Kinds) -> None:
    stack = empty_stack()
    logits = {(): stack(tokens()).logits}
    frozen = {}
    for number in range(5):
        name = f"module{number}"
        grown(stack, name, kinds, on=None if number != 3 else ("module0",))
        logits[stack.path_of(name)] = stack(tokens()).logits
        frozen |= {f"{name}/{key}": value for key, value in tensor_digests(stack.module_tensors(name)).items()}
    for path, expected in logits.items():
        with stack.active(*path):
            assert torch.equal(stack(tokens()).logits, expected)
    assert stack.parents()["module3"] == ("module0",)
    assert {key: value for key, value in tensor_digests(stack.frozen_tensors()).items() if key in frozen} == frozen
    assert stack.verify() == len(stack.frozen_tensors())


def test_verify_names_the_tensor_that_moved(empty_stack: EmptyStack, kinds: Kinds) -> None:
    stack = empty_stack()
    grown(stack, "first", kinds)
    name, parameter = next(iter(stack.module_parameters("first").items()))
    with torch.no_grad():
        parameter.view(-1)[0] += 1e-6
    with pytest.raises(GrowlmError, match=f"first/{name}"):
        stack.verify()


def test_only_the_new_module_takes_gradients(empty_stack: EmptyStack, kinds: Kinds) -> None:
    stack = empty_stack()
    grown(stack, "first", kinds)
    stack.attach("second", kinds)
    disturb(stack, "second")
    logits = stack(tokens()).logits
    if set(kinds) == {"demonstrations"}:  # nothing of it is trained
        assert not logits.requires_grad
        return
    logits.square().mean().backward()
    with_gradient = {id(parameter) for parameter in stack.parameters() if parameter.grad is not None}
    own = stack.module_parameters("second").values()
    assert with_gradient == {id(parameter) for parameter in own if parameter.requires_grad} != set()


def test_saved_and_loaded_bit_for_bit(empty_stack: EmptyStack, kinds: Kinds, tmp_path: Path) -> None:
    stack = empty_stack()
    grown(stack, "first", kinds)
    grown(stack, "second", kinds, on=())
    folder = tmp_path / "stack"
    stack.save_pretrained(folder)
    names = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert names == {".json", ".safetensors", ".jinja", ".md"}
    loaded = ModuleStack.from_pretrained(folder)
    assert loaded.manifest == stack.manifest
    assert loaded.path == ("second",)
    for path in (), ("first",), ("second",), ("first", "second"):
        with stack.active(*path), loaded.active(*path):
            assert torch.equal(loaded(tokens()).logits, stack(tokens()).logits)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    copy = tmp_path / "copy"
    loaded.save_pretrained(copy)
    assert contents(copy) == contents(folder)


def test_names_in_the_file_are_flat(empty_stack: EmptyStack, kinds: Kinds, tmp_path: Path) -> None:
    stack = empty_stack()
    grown(stack, "first", kinds)
    grown(stack, "second", kinds)
    stack.save_pretrained(tmp_path / "stack")
    listed = []
    for folder in ("00-first", "01-second"):
        with safe_open(tmp_path / "stack" / "modules" / folder / "module.safetensors", "pt") as file:
            listed.append(sorted(file.keys()))
    assert listed[0] == listed[1]
    assert all(name.partition(".")[0] in kinds for name in listed[0])
    assert not any(word in name for name in listed[0] for word in ("original", "parts"))


def test_undo_restores_the_folder_byte_for_byte(empty_stack: EmptyStack, kinds: Kinds, tmp_path: Path) -> None:
    stack = empty_stack()
    folder = tmp_path / "stack"
    states = []
    stack.save_pretrained(folder)
    for name in "first", "second":
        states.append(contents(folder))
        grown(stack, name, kinds)
        stack.save_pretrained(folder)
    for name in "second", "first":
        assert store.undo(folder) == name
        assert contents(folder) == states.pop()
    with pytest.raises(GrowlmError, match="no module to undo"):
        store.undo(folder)


def test_undo_in_memory_gives_the_earlier_stack(empty_stack: EmptyStack, kinds: Kinds) -> None:
    stack = empty_stack()
    names = list(dict(stack.base.named_parameters()))
    expected = [stack(tokens()).logits]
    for name in "first", "second":
        grown(stack, name, kinds)
        expected.append(stack(tokens()).logits)
    for name in "second", "first":
        expected.pop()
        assert stack.undo().name == name
        assert torch.equal(stack(tokens()).logits, expected[-1])
    assert list(dict(stack.base.named_parameters())) == names


def test_a_module_costs_its_own_bytes_only(empty_stack: EmptyStack, kinds: Kinds, tmp_path: Path) -> None:
    stack = empty_stack()
    grown(stack, "first", kinds)
    stack.save_pretrained(tmp_path / "stack")
    size = sum(tensor.nbytes for tensor in stack.module_tensors("first").values())
    stored = sum(path.stat().st_size for path in (tmp_path / "stack").rglob("*.safetensors"))
    assert size <= stored < size + 200 * len(stack.module_tensors("first")) + 1_000


def test_options_rebuild_the_same_kind(kinds: Kinds) -> None:
    for name, kind in kinds.items():
        options = json.loads(json.dumps(kind.options()))
        assert module_kinds.build(name, options) == kind


def test_a_growing_module_is_not_saved(empty_stack: EmptyStack, kinds: Kinds, tmp_path: Path) -> None:
    stack = empty_stack()
    stack.attach("first", kinds)
    with pytest.raises(GrowlmError, match="still growing"):
        stack.save_pretrained(tmp_path / "stack")
    freeze(stack, "first", kinds)
    stack.save_pretrained(tmp_path / "stack")
    with pytest.raises(GrowlmError, match="another stack"):
        empty_stack("gpt2").save_pretrained(tmp_path / "stack")


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
