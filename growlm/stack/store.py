"""A stack's folder: what is written in which order, so that a crash at any moment leaves a whole stack.

``stack.json`` is written last, in one step: what it names is complete. Every module's folder keeps, in ``before/``, the
top of the stack's folder as it was before the module, so that undo restores it byte for byte.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from growlm.errors import GrowlmError
from growlm.files import require_disk_space, write_tensors, write_text
from growlm.stack.config import GrowlmConfig
from growlm.stack.manifest import (
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
_NOT_STATE = {MODULES, WORK, ".lock"}


def begin(folder: Path, manifest: Manifest, config: GrowlmConfig, files: Mapping[str, str] | None = None) -> None:
    """Writes a stack without modules.

    Args:
        folder: the stack's folder.
        manifest: a manifest without modules.
        config: the stack's config.
        files: further files of the stack's top, by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_top(folder, manifest, config, files or {})


def commit(
    folder: Path,
    manifest: Manifest,
    config: GrowlmConfig,
    tensors: Mapping[str, Tensor],
    files: Mapping[str, str] | None = None,
) -> None:
    """Adds the manifest's newest module to a stack's folder.

    Args:
        folder: a folder that holds the stack without that module.
        manifest: the manifest with it.
        config: the stack's config with it.
        tensors: the module's tensors.
        files: further files of the stack's top, by name.

    Raises:
        GrowlmError: if the disk is too full.
    """
    require_disk_space(folder, 2 * sum(tensor.nbytes for tensor in tensors.values()))
    module = manifest.modules[-1]
    target = folder / manifest.folder_of(module.name)
    unfinished = target.with_name(f".{target.name}.tmp")
    for leftover in (unfinished, target):
        shutil.rmtree(leftover, ignore_errors=True)
    _copy_top(folder, unfinished / BEFORE)
    write_tensors(unfinished / TENSOR_FILE, tensors)
    write_text(unfinished / MODULE_FILE, module_json(module))
    unfinished.rename(target)
    _write_top(folder, manifest, config, files or {})


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

    Args:
        folder: a folder that may hold a stack; it must be locked.
    """
    if not (folder / STACK_FILE).exists() or not (folder / MODULES).exists():
        return
    manifest = read_manifest(folder)  # refuses an edited one, for whose sake nothing must be removed
    named = {manifest.folder_of(module.name) for module in manifest.modules}
    for leftover in sorted((folder / MODULES).iterdir(), reverse=True):
        if f"{MODULES}/{leftover.name}" in named:
            continue
        before = leftover / BEFORE
        if not leftover.name.startswith(".") and before.exists():
            for path in _top(folder):
                if path.name != STACK_FILE and not (before / path.name).exists():
                    _remove(path)
            _copy_top(before, folder)
        # first out of sight: what a crash leaves of a folder half removed must not be restored from
        rubbish = leftover.with_name(f".{leftover.name.lstrip('.')}.tmp")
        shutil.rmtree(leftover.replace(rubbish))
    if not any((folder / MODULES).iterdir()):
        (folder / MODULES).rmdir()


def save(
    folder: Path,
    manifest: Manifest,
    config: GrowlmConfig,
    tensors_of: Callable[[str], Mapping[str, Tensor]],
) -> None:
    """Writes a whole stack, module by module.

    Args:
        folder: the stack's folder; what is there already must be an earlier state of the same stack.
        manifest: the stack's manifest.
        config: the stack's config.
        tensors_of: gives a module's tensors by its name.

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
        begin(folder, bare, config)
    for index in range(len(there.modules), len(manifest.modules)):
        upto = replace(manifest, modules=manifest.modules[: index + 1])
        commit(folder, upto, config, tensors_of(manifest.modules[index].name))


def _write_top(folder: Path, manifest: Manifest, config: GrowlmConfig, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        write_text(folder / name, text)
    write_text(folder / "config.json", config.to_json_string())
    write_text(folder / STACK_FILE, stack_json(manifest))


def _top(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name not in _NOT_STATE and not path.name.startswith(".")]


def _copy_top(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in _top(source):
        if path.is_dir():
            shutil.copytree(path, target / path.name, dirs_exist_ok=True)
        else:
            shutil.copy2(path, target / path.name)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
