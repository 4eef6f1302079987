"""Dropping: as if the module had never been grown; refused where others depend on it; whole after any crash."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from growlm.cli.main import main
from growlm.errors import GrowlmError
from growlm.files import combined_digest, tensor_digests
from growlm.manifest import store
from growlm.manifest.card import accuracy_json, stack_card
from growlm.manifest.manifest import ModuleRecord, read_manifest
from growlm.modules.block import Block
from growlm.modules.lora import Lora
from growlm.routing.ridge import Ridge
from growlm.stack.router_file import router_files
from growlm.stack.stack import ModuleStack
from growlm.train.drop import drop_module

TOKENS = torch.tensor([[0, 60, 61, 62, 63]])


class Crash(BaseException):
    """Takes the place of the end of the process."""


@pytest.fixture(scope="session")
def grow(tiny_bases: dict[str, Path]) -> Callable[..., Path]:
    """Grow modules, each on the parents given, into a folder as phases do: router, card and matrix included."""

    def build(folder: Path, **modules: tuple[str, ...]) -> Path:
        stack = ModuleStack.from_base(str(tiny_bases["llama"])).eval()
        store.begin(folder, stack.manifest, stack.config)
        stack.router = Ridge(width=8)
        stack.router.learn(stack, "base", lambda split, limit, augment: [[0, 50 + n] for n in range(4)])
        for name, parents in modules.items():
            add(stack, name, parents)
            manifest = stack.manifest
            files = {
                **router_files(stack.router, manifest),
                "README.md": stack_card(manifest),
                "accuracy.json": accuracy_json(manifest),
            }
            store.commit(folder, manifest, stack.config, stack.module_tensors(name), stack.method_tensors(name), files)
        return folder

    return build


def add(stack: ModuleStack, name: str, parents: tuple[str, ...]) -> None:
    number = ord(name)
    kinds = {"lora": Lora(rank=2), "block": Block(num_blocks=1, after=[number % 4])}
    stack.attach(name, kinds, parents, seed=number)
    generator = torch.Generator().manual_seed(number)
    with torch.no_grad():
        for parameter in stack.module_parameters(name).values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    kept = {"seen": torch.tensor([number])}
    tensors = tensor_digests(stack.module_tensors(name))
    record = ModuleRecord(
        name=name,
        kinds={kind: options.options() for kind, options in kinds.items()},
        parents=parents,
        skill={"name": name, "options": {}, "train_digest": ""},
        method={"name": "grow", "options": {}},
        seed=number,
        recipe={},
        parameters=1,
        tensors=tensors,
        digest=combined_digest(tensors),
        cost={"steps": 1, "tokens": 1, "seconds": 0.5},
        method_tensors=tensor_digests(kept),
    )
    stack.freeze(record, kept)
    assert stack.router is not None
    stack.router.learn(stack, name, lambda split, limit, augment: [[0, number + n] for n in range(4)])  # type: ignore[attr-defined]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
def test_the_rest_is_as_if_it_had_never_been_grown(grow: Callable[..., Path], tmp_path: Path, name: str):
    modules: dict[str, tuple[str, ...]] = {"a": (), "b": (), "c": (), "d": ()}
    folder = grow(tmp_path / "stack", **modules)
    del modules[name]
    never = grow(tmp_path / "never", **modules)
    drop_module(folder, name)
    assert contents(folder) == contents(never)
    stack = ModuleStack.from_pretrained(folder)
    assert stack.verify() > 0
    assert list(stack.parents()) == list(modules)


def test_paths_compute_what_they_did(grow: Callable[..., Path], tmp_path: Path):
    folder = grow(tmp_path / "stack", a=(), b=("a",), c=(), d=("a", "b"))
    before = ModuleStack.from_pretrained(folder)
    drop_module(folder, "c")
    after = ModuleStack.from_pretrained(folder)
    for name in ("a", "b", "d"):
        assert after.path_of(name) == before.path_of(name)
        with before.active(*before.path_of(name)), after.active(*after.path_of(name)):
            assert torch.equal(after(TOKENS).logits, before(TOKENS).logits)
        assert after.method_tensors(name) == {"seen": torch.tensor([ord(name)])}
    for name in ("d", "b", "a"):
        assert store.undo(folder) == name
    assert read_manifest(folder).modules == ()
    assert not (folder / "router.safetensors").exists()


def test_what_others_were_grown_on_is_kept(grow: Callable[..., Path], tmp_path: Path, capsys: Any):
    folder = grow(tmp_path / "stack", a=(), b=("a",), c=("a",))
    before = contents(folder)
    assert main(["drop", "a", str(folder)]) == 2
    assert "module 'a' cannot be dropped, later ones were grown on it: b, c" in capsys.readouterr().err
    assert main(["drop", "x", str(folder)]) == 2
    assert "unknown module 'x'" in capsys.readouterr().err
    assert contents(folder) == before
    assert main(["drop", "b", str(folder)]) == 0
    assert "module 'b' is gone" in capsys.readouterr().out
    assert [record.name for record in read_manifest(folder).modules] == ["a", "c"]
    assert main(["drop", "a", str(tmp_path / "nowhere")]) == 2
    assert not (tmp_path / "nowhere").exists()


def test_what_another_went_on_from_is_kept(grow: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = grow(tmp_path / "stack", a=(), b=())
    load = ModuleStack.from_pretrained

    def superseding(*args: Any, **kwargs: Any) -> ModuleStack:
        stack = load(*args, **kwargs)
        first, second = stack.manifest.modules
        stack.manifest = replace(stack.manifest, modules=(first, replace(second, supersedes=("a",))))
        return stack

    monkeypatch.setattr(ModuleStack, "from_pretrained", superseding)
    with pytest.raises(GrowlmError, match="later ones were grown on it: b"):
        drop_module(folder, "a")


@contextmanager
def crashing_at(step: int) -> Iterator[None]:
    """End the process at one of the changes of the file system."""
    left = step

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash
            return change(*args, **kwargs)

        return changed

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (
            (Path, "rename"),
            (Path, "replace"),
            (shutil, "copy2"),
            (shutil, "rmtree"),
            (Path, "mkdir"),
        ):
            patch.setattr(owner, name, counted(getattr(owner, name)))
        yield


def test_after_a_crash_at_any_moment_it_is_there_or_gone(grow: Callable[..., Path], tmp_path: Path):
    original = grow(tmp_path / "original", a=(), b=(), c=())
    old = contents(original)
    new = contents(grow(tmp_path / "never", a=(), c=()))
    seen = set()
    for step in range(200):
        folder = tmp_path / "stack"
        shutil.copytree(original, folder)
        try:
            with crashing_at(step):
                drop_module(folder, "b")
        except Crash:
            read_manifest(folder)  # readers are not in the way
            store.recover(folder)
            assert contents(folder) in (old, new), step
            seen.add("old" if contents(folder) == old else "new")
        else:
            break
        shutil.rmtree(folder)
    assert contents(folder) == new
    assert seen == {"old", "new"}
