"""Stacks of format version 1, which growlm 0.1.0 wrote: files are known by name only, ``before/`` holds whole copies.

They load as they are, and become version 2 with the first command that changes them.
"""

import re
import shutil
from pathlib import Path
from typing import Any

from growlm.errors import GrowlmError
from growlm.files import atomic_path, file_digest, parse_json, read_bytes, read_json
from growlm.manifest.earlier import MAX_TOP_BYTES, RENDERED, EarlierState, digest_of, state_json
from growlm.manifest.manifest import (
    MAX_FILE_BYTES,
    METHOD_FILE,
    MODULE_FILE,
    STACK_FILE,
    TENSOR_FILE,
    Manifest,
    version_1_json,
)
from growlm.manifest.own_files import BEFORE, CARD_FILE, MODULES, STATE_FILE, TOP_FILES
from growlm.manifest.transaction import remove_folder
from growlm.sealed import unseal

_DROPPED = ".drop"
_IN_MODULE = (MODULE_FILE, TENSOR_FILE, METHOD_FILE, *(f"{BEFORE}/{name}" for name in (STACK_FILE, *TOP_FILES)))
_TEMPORARY_FILE = re.compile(rf"\.({'|'.join(map(re.escape, (STACK_FILE, *TOP_FILES)))})\.[0-9]+\.tmp")
_TEMPORARY_FOLDER = re.compile(r"\.[0-9]{2,6}-[a-z0-9][a-z0-9_-]{0,63}\.tmp")


def list_files(folder: Path, manifest: Manifest) -> dict[str, str]:
    """List the files that growlm wrote, with their digests.

    Args:
        folder: the stack's folder.
        manifest: its manifest.
    """
    names = [f"{manifest.folder_of(module.name)}/{name}" for module in manifest.modules for name in _IN_MODULE]
    names += [name for name in TOP_FILES if name not in RENDERED]
    card = folder / CARD_FILE
    if manifest.modules and card.is_file() and manifest.base.digest in card.read_text("utf-8", errors="replace"):
        names += RENDERED
    return {name: file_digest(folder / name) for name in names if (folder / name).is_file()}


def check_before(module_folder: Path, earlier: Manifest) -> None:
    """Check that ``before/`` of a module is of the stack before it.

    Raises:
        GrowlmError: if its ``stack.json`` is missing or was edited.
    """
    path = module_folder / BEFORE / STACK_FILE
    if not path.is_file() or path.read_bytes() != version_1_json(earlier).encode():
        raise GrowlmError(f"{path} is missing or was edited: restore it from a copy")


def base_before(path: Path) -> dict[str, Any]:
    """Return the record of the base in the ``before/stack.json`` of a module.

    Raises:
        GrowlmError: if the file was edited or is damaged.
    """
    base = unseal(parse_json(read_bytes(path, MAX_FILE_BYTES), path), path, (1,)).get("base")
    if not isinstance(base, dict) or not {"source", "model_type", "parameters", "digest"} <= set(base):
        raise GrowlmError(f"{path} does not have the fields of a stack: restore it from a copy")
    return base


def state(module_folder: Path) -> EarlierState:
    """Return the state that ``before/`` of a module holds."""
    return EarlierState({}, {name: digest_of(content) for name, content in _before(module_folder).items()})


def states(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """Render the ``before/state.json`` that each module has from version 2 on, by relative path."""
    own = {module.name: manifest.folder_of(module.name) for module in manifest.modules}
    return {
        f"{own[name]}/{BEFORE}/{STATE_FILE}": state_json(manifest.base, _before(folder / own[name])) for name in own
    }


def finish(folder: Path) -> None:
    """Finish or take back what a command of growlm 0.1.0 left when it was interrupted.

    Args:
        folder: the stack's folder; it must be locked.
    """
    for path in folder.glob(".*.tmp"):
        if path.is_file() and _TEMPORARY_FILE.fullmatch(path.name):
            path.unlink()
    remove_folder(folder / f"{_DROPPED}.tmp")
    if (folder / _DROPPED / STACK_FILE).is_file():
        _copy_top(folder / _DROPPED, folder)
        remove_folder((folder / _DROPPED).replace(folder / f"{_DROPPED}.tmp"))
    content = read_json(folder / STACK_FILE)
    if content["format_version"] != 1 or not (folder / MODULES).exists():
        return
    named = {entry["folder"] for entry in content["modules"]}
    for leftover in sorted((folder / MODULES).iterdir(), reverse=True):
        if leftover.is_dir() and _TEMPORARY_FOLDER.fullmatch(leftover.name):
            remove_folder(leftover)
        elif f"{MODULES}/{leftover.name}" not in named and _is_of(leftover / BEFORE, folder):
            for name in TOP_FILES:
                if not (leftover / BEFORE / name).exists():
                    (folder / name).unlink(missing_ok=True)
            _copy_top(leftover / BEFORE, folder)
            for name in _IN_MODULE:  # before/stack.json last but for what it restores: it makes the folder known
                if not name.startswith(BEFORE):
                    (leftover / name).unlink(missing_ok=True)
            for name in (*TOP_FILES, STACK_FILE):
                (leftover / BEFORE / name).unlink(missing_ok=True)
            for emptied in (leftover / BEFORE, leftover):
                if not any(emptied.iterdir()):
                    emptied.rmdir()
    if not any((folder / MODULES).iterdir()):
        (folder / MODULES).rmdir()


def _before(module_folder: Path) -> dict[str, bytes]:
    paths = {name: module_folder / BEFORE / name for name in TOP_FILES}
    return {name: read_bytes(path, MAX_TOP_BYTES) for name, path in paths.items() if path.is_file()}


def _is_of(before: Path, folder: Path) -> bool:
    path = before / STACK_FILE
    return path.is_file() and path.read_bytes() == (folder / STACK_FILE).read_bytes()


def _copy_top(source: Path, target: Path) -> None:
    for name in (*TOP_FILES, STACK_FILE):
        if (source / name).is_file():
            with atomic_path(target / name) as temporary:
                shutil.copyfile(source / name, temporary)
