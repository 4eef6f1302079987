"""Stacks as folders, without a model: what is written is what phases write, but the tensors are small."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from growlm.files import combined_digest, folder_lock, tensor_digests
from growlm.manifest import store
from growlm.manifest.card import accuracy_json, stack_card
from growlm.manifest.config import GrowlmConfig
from growlm.manifest.earlier import Top
from growlm.manifest.integrity import rebuild, recorded_base
from growlm.manifest.manifest import BaseRecord, Manifest, ModuleRecord, read_manifest
from growlm.manifest.own_files import ROUTER_FILE

BASE = BaseRecord("tiny", "llama", 12_340, {"embed": "3" * 64}, "4" * 64)
USERS = {
    "notes.txt": b"mine",
    ".DS_Store": b"\x00finder",
    "export/w.gguf": b"weights",
    "modules/.DS_Store": b"\x00finder",
    "modules/mine/x.txt": b"x",
    ".mine.tmp": b"not growlm's",
}


def tensors_of(name: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    return {"lora.A": torch.randn(64, 8, generator=generator), "lora.B": torch.randn(8, generator=generator)}


def method_tensors_of(name: str) -> dict[str, Tensor]:
    return {"seen": torch.tensor([len(name)])} if name == "c" else {}


def record(name: str, parents: tuple[str, ...] = (), scores: Mapping[str, Any] | None = None) -> ModuleRecord:
    digests = tensor_digests(tensors_of(name))
    return ModuleRecord(
        name=name,
        kinds={"lora": {"rank": 8}},
        parents=parents,
        skill={"name": name, "options": {}, "train_digest": "5" * 64},
        method={"name": "grow", "options": {}},
        seed=0,
        recipe={},
        parameters=sum(tensor.numel() for tensor in tensors_of(name).values()),
        tensors=digests,
        digest=combined_digest(digests),
        scores=dict(scores or {}),
        cost={"steps": 1, "tokens": 1, "seconds": 0.5},
        method_tensors=tensor_digests(method_tensors_of(name)),
    )


def config_of(manifest: Manifest) -> GrowlmConfig:
    return GrowlmConfig(inserted_after=[1 for module in manifest.modules if module.name in "bd"])


def router_of(manifest: Manifest) -> store.TensorFile:
    names = ["base", *(module.name for module in manifest.modules)]
    tensors = {f"moment/{name}": torch.full((40,), float(sum(map(ord, name)))) for name in names}
    return store.TensorFile(tensors, {"growlm": "-".join(names)})


def files_of(manifest: Manifest) -> store.Files:
    return {
        ROUTER_FILE: router_of(manifest),
        "README.md": stack_card(manifest),
        "accuracy.json": accuracy_json(manifest),
    }


def grow(folder: Path, name: str, parents: tuple[str, ...] = (), scores: Mapping[str, Any] | None = None) -> None:
    """Do to the folder what a phase does."""
    with folder_lock(folder):
        store.recover(folder)
        if not (folder / "stack.json").exists():
            bare = Manifest(BASE)
            store.begin(folder, bare, config_of(bare))
        there = read_manifest(folder)
        manifest = replace(there, modules=(*there.modules, record(name, parents, scores)))
        tensors, kept = tensors_of(name), method_tensors_of(name)
        store.commit(folder, manifest, config_of(manifest), tensors, kept, files_of(manifest))


def undo(folder: Path) -> None:
    with folder_lock(folder):
        store.recover(folder)
        store.undo(folder)


def drop(folder: Path, name: str) -> None:
    def rewrite(manifest: Manifest, top: Top) -> Top:
        files = {file: content for file, content in files_of(manifest).items() if file in top}
        return store.render_top(config_of(manifest), files)

    with folder_lock(folder):
        store.recover(folder)
        manifest = read_manifest(folder)
        names = [module.name for module in manifest.modules]
        store.drop(folder, manifest, names.index(name), rewrite)


def repair(folder: Path) -> None:
    recorded_base(folder)
    with folder_lock(folder):
        rebuild(folder, BASE)


def stack(folder: Path, *names: str) -> Path:
    for name in names:
        grow(folder, name)
    return folder


def add_users(folder: Path) -> None:
    for name, content in USERS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def own(folder: Path) -> dict[str, bytes]:
    """The contents without the user's files."""
    return {name: content for name, content in contents(folder).items() if name not in USERS}


COMMANDS: dict[str, Callable[[Path], None]] = {
    "grow": lambda folder: grow(folder, "d", ("a",)),
    "undo": undo,
    "drop": lambda folder: drop(folder, "b"),
}
"""Every way to change a stack with the modules a, b and c."""
