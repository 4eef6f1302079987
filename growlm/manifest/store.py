"""A stack's folder: what is written in which order, so that a crash at any moment leaves a whole stack.

``stack.json`` is written last, in one step: what it names is complete. Every module's folder keeps, in ``before/``, the
top of the stack's folder as it was before the module, so that undo restores it byte for byte.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from growlm.errors import GrowlmError
from growlm.files import atomic_path, require_disk_space, write_tensors, write_text
from growlm.manifest.config import GrowlmConfig
from growlm.manifest.manifest import (
    METHOD_FILE,
    MODULE_FILE,
    STACK_FILE,
    TENSOR_FILE,
    Manifest,
    module_json,
    read_manifest,
    stack_json,
)

MODULES = "modules"
WORK = ".work"
BEFORE = "before"
DROPPED = ".drop"
_NOT_STATE = {MODULES, WORK, ".lock"}


@dataclass(frozen=True)
class TensorFile:
    """What a safetensors file at the stack's top holds.

    Args:
        tensors: the tensors by name.
        metadata: the file's metadata, one entry at most: the order of several is not the same in every file.
    """

    tensors: Mapping[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)


Files = Mapping[str, str | TensorFile]
"""Files of the stack's top by name: text, or tensors."""


def begin(folder: Path, manifest: Manifest, config: GrowlmConfig, files: Files | None = None) -> None:
    """Writes a stack without modules.

    Args:
        folder: the stack's folder.
        manifest: a manifest without modules.
        config: the stack's config.
        files: further files of the stack's top, by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_top(folder, manifest, config, files or {})


def commit(
    folder: Path,
    manifest: Manifest,
    config: GrowlmConfig,
    tensors: Mapping[str, Tensor],
    method_tensors: Mapping[str, Tensor],
    files: Files | None = None,
) -> None:
    """Adds the manifest's newest module to a stack's folder.

    Args:
        folder: a folder that holds the stack without that module.
        manifest: the manifest with it.
        config: the stack's config with it.
        tensors: the module's tensors.
        method_tensors: what the method keeps for later phases; none: no file is written for it.
        files: further files of the stack's top, by name.

    Raises:
        GrowlmError: if the disk is too full.
    """
    kept = sum(path.stat().st_size for path in _top(folder) if path.is_file())
    require_disk_space(folder, 2 * (_size(tensors) + _size(method_tensors) + kept))
    module = manifest.modules[-1]
    target = folder / manifest.folder_of(module.name)
    unfinished = target.with_name(f".{target.name}.tmp")
    for leftover in (unfinished, target):
        shutil.rmtree(leftover, ignore_errors=True)
    copy_top(folder, unfinished / BEFORE)
    write_tensors(unfinished / TENSOR_FILE, tensors)
    if method_tensors:
        write_tensors(unfinished / METHOD_FILE, method_tensors)
    write_text(unfinished / MODULE_FILE, module_json(module))
    unfinished.rename(target)
    write_top(folder, manifest, config, files or {})


def undo(folder: Path) -> str:
    """Removes the newest module from a stack's folder and restores what was there before it, byte for byte.

    Args:
        folder: the stack's folder.

    Returns:
        The module's name.

    Raises:
        GrowlmError: if the folder is no stack or has no module.
    """
    manifest = read_manifest(folder)
    if not manifest.modules:
        raise GrowlmError(f"{folder} has no module to undo")
    last = manifest.modules[-1].name
    before = folder / manifest.folder_of(last) / BEFORE / STACK_FILE
    earlier = stack_json(replace(manifest, modules=manifest.modules[:-1]))
    if not before.exists() or before.read_bytes() != earlier.encode():
        raise GrowlmError(f"{before} is missing or was edited, so {last!r} cannot be undone: restore it from a copy")
    write_text(folder / STACK_FILE, earlier)
    recover(folder)
    return last


def recover(folder: Path) -> None:
    """Finishes or takes back what an interrupted command left: module folders that ``stack.json`` does not name.

    Such a folder's ``before/`` is restored if it is of the very state that ``stack.json`` tells of: then the module was
    being added to it or had just been taken back from it.

    Args:
        folder: a folder that may hold a stack; it must be locked.
    """
    for unfinished_write in folder.glob(".*.tmp"):
        if unfinished_write.is_file():
            unfinished_write.unlink()
    _finish_drop(folder)
    if not (folder / STACK_FILE).exists() or not (folder / MODULES).exists():
        return
    manifest = read_manifest(folder)  # refuses an edited one, for whose sake nothing must be removed
    named = {manifest.folder_of(module.name) for module in manifest.modules}
    for leftover in sorted((folder / MODULES).iterdir(), reverse=True):
        if f"{MODULES}/{leftover.name}" in named:
            continue
        before = leftover / BEFORE
        if not leftover.name.startswith(".") and _same_bytes(before / STACK_FILE, folder / STACK_FILE):
            for path in _top(folder):
                if path.name != STACK_FILE and not (before / path.name).exists():
                    _remove(path)
            copy_top(before, folder)
        # first out of sight: what a crash leaves of a folder half removed must not be restored from
        rubbish = leftover.with_name(f".{leftover.name.lstrip('.')}.tmp")
        shutil.rmtree(leftover.replace(rubbish))
    if not any((folder / MODULES).iterdir()):
        (folder / MODULES).rmdir()


def drop(folder: Path, manifest: Manifest, index: int, rewrite: Callable[[Path, Manifest, Path], None]) -> None:
    """Removes a module from the midst of a stack's folder; later ones move up and keep their bytes.

    New folders of the later modules are made beside the old ones, then the new top is put into ``.drop/`` in one step,
    which decides: before it the old stack is there, after it ``recover`` finishes.

    Args:
        folder: the stack's folder; it must be locked and recovered.
        manifest: the stack's manifest.
        index: which module; not the last one, which ``undo`` removes.
        rewrite: ``rewrite(target, manifest, source)`` writes the top of a state of the stack into a folder, for a
            manifest without the module, from the top of that state with it.
    """
    modules = (*manifest.modules[:index], *manifest.modules[index + 1 :])
    moved = [folder / manifest.folder_of(module.name) for module in modules[index:]]
    require_disk_space(folder, sum(path.stat().st_size for old in moved for path in old.rglob("*") if path.is_file()))
    # what was there before the dropped module is what was there before the next one now
    earlier = folder / manifest.folder_of(manifest.modules[index].name) / BEFORE
    for number, old in enumerate(moved, index):
        upto = replace(manifest, modules=modules[: number + 1])
        target = folder / upto.folder_of(upto.modules[-1].name)
        unfinished = target.with_name(f".{target.name}.tmp")
        if number == index:
            copy_top(earlier, unfinished / BEFORE)
        else:
            rewrite(unfinished / BEFORE, replace(manifest, modules=modules[:number]), old / BEFORE)
        for name in (TENSOR_FILE, METHOD_FILE, MODULE_FILE):
            if (old / name).exists():
                _copy(old / name, unfinished / name)
        unfinished.rename(target)
    unfinished = folder / f"{DROPPED}.tmp"
    rewrite(unfinished, replace(manifest, modules=modules), folder)
    unfinished.rename(folder / DROPPED)
    recover(folder)


def _finish_drop(folder: Path) -> None:
    unfinished, decided = folder / f"{DROPPED}.tmp", folder / DROPPED
    shutil.rmtree(unfinished, ignore_errors=True)
    if decided.exists():
        copy_top(decided, folder)
        shutil.rmtree(decided.replace(unfinished))


def save(
    folder: Path,
    manifest: Manifest,
    config_of: Callable[[Manifest], GrowlmConfig],
    tensors_of: Callable[[str], Mapping[str, Tensor]],
    method_tensors_of: Callable[[str], Mapping[str, Tensor]],
    files_of: Callable[[Manifest], Files] = lambda manifest: {},
) -> None:
    """Writes a whole stack, module by module.

    Args:
        folder: the stack's folder; what is there already must be an earlier state of the same stack.
        manifest: the stack's manifest.
        config_of: gives the stack's config for the manifest up to each module.
        tensors_of: gives a module's tensors by its name.
        method_tensors_of: gives what a module's method keeps for later phases, by the module's name.
        files_of: gives the further files of the stack's top, for the manifest up to each module.

    Raises:
        GrowlmError: if the folder holds something else.
    """
    bare = replace(manifest, modules=())
    if (folder / STACK_FILE).exists():
        there = read_manifest(folder)
        if there.base.digest != manifest.base.digest or there.modules != manifest.modules[: len(there.modules)]:
            raise GrowlmError(f"{folder} holds another stack: choose a folder that is empty or not there")
    else:
        there = bare
        begin(folder, bare, config_of(bare))
    for index in range(len(there.modules), len(manifest.modules)):
        upto = replace(manifest, modules=manifest.modules[: index + 1])
        name = manifest.modules[index].name
        commit(folder, upto, config_of(upto), tensors_of(name), method_tensors_of(name), files_of(upto))


def write_top(folder: Path, manifest: Manifest, config: GrowlmConfig, files: Files) -> None:
    """Writes the top of a stack's folder: further files first, ``stack.json`` last."""
    for name, content in files.items():
        if isinstance(content, str):
            write_text(folder / name, content)
        else:
            write_tensors(folder / name, content.tensors, content.metadata)
    write_text(folder / "config.json", config.to_json_string())
    write_text(folder / STACK_FILE, stack_json(manifest))


def _top(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name not in _NOT_STATE and not path.name.startswith(".")]


def copy_top(source: Path, target: Path) -> None:
    """Copies the top of a stack's folder, ``stack.json`` last."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(_top(source), key=lambda path: path.name == STACK_FILE):
        if path.is_dir():
            shutil.copytree(path, target / path.name, dirs_exist_ok=True)
        else:
            _copy(path, target / path.name)


def _size(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        shutil.copy2(source, temporary)


def _same_bytes(one: Path, other: Path) -> bool:
    return one.exists() and one.read_bytes() == other.read_bytes()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
