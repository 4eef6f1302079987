"""Checks of every file that a stack's folder lists, and the rebuilding of ``stack.json`` from the modules."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from growlm.errors import GrowlmError
from growlm.files import check_digests, combined_digest, file_digest, plain_os_errors, read_tensors, tensor_digests
from growlm.manifest import version_1
from growlm.manifest.earlier import RENDERED, read_state
from growlm.manifest.manifest import (
    METHOD_FILE,
    MODULE_FILE,
    STACK_FILE,
    TENSOR_FILE,
    BaseRecord,
    Manifest,
    ModuleRecord,
    StackFile,
    module_folder,
    module_json,
    read_consistently,
    read_module,
    read_stack_file,
    stack_json,
)
from growlm.manifest.own_files import BEFORE, MODULES, STATE_FILE, TOP_FILES, is_own_file, refuse_links
from growlm.manifest.records import check_module
from growlm.manifest.transaction import Transaction, finish, staged_path
from growlm.sealed import text_digest

_MODULE_FOLDER = re.compile(r"([0-9]{2,6})-([a-z0-9][a-z0-9_-]{0,63})")


@dataclass(frozen=True)
class FileCheck:
    """The result of checking a stack's files.

    Args:
        num_files: how many files were compared with their digests.
        complete: whether the stack lists all its files; one of format version 1 does not.
    """

    num_files: int
    complete: bool


def verify_files(folder: Path) -> FileCheck:
    """Compare every file that growlm wrote into a stack's folder with its digest; nothing is changed.

    Args:
        folder: the stack's folder; another process may be writing to it.

    Returns:
        What was compared.

    Raises:
        GrowlmError: naming the first file that is missing, was edited or is damaged.
    """
    with plain_os_errors(folder):
        return read_consistently(folder, lambda: _verify_files(folder, read_stack_file(folder)))


def _verify_files(folder: Path, stored: StackFile) -> FileCheck:
    modules = stored.manifest.modules
    own = [module_folder(index, module.name) for index, module in enumerate(modules)]
    if stored.version == 1:
        for index, name in enumerate(own):
            version_1.check_before(folder / name, replace(stored.manifest, modules=modules[:index]))
        return FileCheck(len(version_1.list_files(folder, stored.manifest)) + 1, complete=False)
    needed = [f"{name}/{file}" for name in own for file in (MODULE_FILE, TENSOR_FILE, f"{BEFORE}/{STATE_FILE}")]
    needed += [f"{name}/{METHOD_FILE}" for name, module in zip(own, modules, strict=True) if module.method_tensors]
    for name in needed:
        if name not in stored.files:
            raise GrowlmError(f"{folder / STACK_FILE} does not list {name}: rebuild it with 'growlm repair {folder}'")
    for name, digest in stored.files.items():
        if not _is_intact(folder, name, digest) and not _is_intact(folder, name, digest):  # moved in between
            raise GrowlmError(
                f"{folder / name} is missing or was edited or damaged: restore it from a copy, or list it as it is "
                f"with 'growlm repair {folder}'"
            )
    return FileCheck(len(stored.files) + 1, complete=True)


def _is_intact(folder: Path, name: str, digest: str) -> bool:
    path = staged_path(folder, name)
    try:
        return path.is_file() and file_digest(path) == digest
    except GrowlmError as error:
        if isinstance(error.__cause__, FileNotFoundError):  # moved to its place in between
            return False
        raise


def recorded_base(folder: Path) -> dict[str, str | int]:
    """Return source, model type, number of parameters and digest of the base that a stack's modules name.

    Args:
        folder: the stack's folder; ``stack.json`` is not read.

    Raises:
        GrowlmError: if there are no modules, or they name different bases or none.
    """
    bases = []
    for own, _ in _found_modules(folder):
        path = folder / own / BEFORE
        if (path / STATE_FILE).exists():
            bases.append(read_state(folder / own).base)
        elif (path / STACK_FILE).exists():
            base = version_1.base_before(path / STACK_FILE)
            bases.append({key: base[key] for key in ("source", "model_type", "parameters", "digest")})
    if not bases or any(base["digest"] != bases[0]["digest"] for base in bases):
        raise GrowlmError(f"the modules in {folder / MODULES} name {'different bases' if bases else 'no base'}")
    return bases[-1]


def rebuild(folder: Path, base: BaseRecord) -> Manifest:
    """Write ``stack.json`` anew from the modules' own records, and list the files as they are.

    Args:
        folder: the stack's folder; it must be locked.
        base: the record of the base.

    Returns:
        The manifest.

    Raises:
        GrowlmError: if a module's folder is missing, its tensors are not those of its record, or records contradict
            each other; nothing was changed then.
    """
    with plain_os_errors(folder):
        refuse_links(folder)
        finish(folder)
        modules: list[ModuleRecord] = []
        files: dict[str, str] = {}
        for own, name in _found_modules(folder):
            module, digest = read_module(folder / own / MODULE_FILE)
            if module.name != name or digest != text_digest(module_json(module)):
                raise GrowlmError(f"{folder / own / MODULE_FILE} was edited or damaged: restore it from a copy")
            check_module(module, modules, str(folder / own / MODULE_FILE))
            _check_tensors(folder / own, module)
            modules.append(module)
            found = (path for path in (folder / own).rglob("*") if path.is_file())
            names = (path.relative_to(folder).as_posix() for path in found)
            files |= {name: file_digest(folder / name) for name in names if is_own_file(name)}
        manifest = Manifest(base, tuple(modules))
        for name in TOP_FILES:
            path = folder / name
            if path.is_file() and (name not in RENDERED or path.read_bytes() == RENDERED[name](manifest).encode()):
                files[name] = file_digest(path)
        _write(folder, manifest, files)
    return manifest


def _write(folder: Path, manifest: Manifest, files: Mapping[str, str]) -> None:
    with Transaction(folder) as change:
        for name, content in version_1.states(folder, manifest).items():
            if name not in files:
                change.put(name, content)
        change.apply(stack_json(manifest, {**files, **change.files}), files)


def _found_modules(folder: Path) -> list[tuple[str, str]]:
    """Return folder and name of every module, in order of growth."""
    found: list[tuple[str, str]] = []
    for path in sorted((folder / MODULES).glob(f"*/{MODULE_FILE}")):
        match = _MODULE_FOLDER.fullmatch(path.parent.name)
        if match is not None:
            found.append((f"{MODULES}/{path.parent.name}", match[2]))
    found.sort(key=lambda entry: int(Path(entry[0]).name.partition("-")[0]))
    if not found:
        raise GrowlmError(f"{folder} has no modules to rebuild {STACK_FILE} from: restore it from a copy")
    for index, (own, name) in enumerate(found):
        if own != module_folder(index, name):
            raise GrowlmError(
                f"{folder / own} is not module {index} of the stack: restore the folder of module {index}, or move "
                "away the one that does not belong here"
            )
    return found


def _check_tensors(module: Path, record: ModuleRecord) -> None:
    digests = tensor_digests(read_tensors(module / TENSOR_FILE))
    check_digests(digests, record.tensors, str(module / TENSOR_FILE))
    if combined_digest(digests) != record.digest:
        raise GrowlmError(f"{module / MODULE_FILE} contradicts itself: restore it from a copy")
    if record.method_tensors:
        found = tensor_digests(read_tensors(module / METHOD_FILE))
        check_digests(found, record.method_tensors, str(module / METHOD_FILE))
