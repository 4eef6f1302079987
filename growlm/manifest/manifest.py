"""The manifest: the records of a stack's base and modules, and ``stack.json``, which names every file of the stack."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

from growlm.errors import GrowlmError, unknown_name
from growlm.files import check_name, parse_json, read_bytes, render_json
from growlm.manifest.own_files import MODULES, is_own_file
from growlm.manifest.records import BaseRecord as BaseRecord
from growlm.manifest.records import ModuleRecord as ModuleRecord
from growlm.manifest.records import check_module
from growlm.sealed import fits, seal, text_digest, unseal

FORMAT_VERSION = 2
MODULE_FORMAT_VERSION = 1
MAX_FILE_BYTES = 64 << 20
STACK_FILE = "stack.json"
MODULE_FILE = "module.json"
TENSOR_FILE = "module.safetensors"
METHOD_FILE = "method.safetensors"

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True)
class Manifest:
    """A stack's base and its modules in order of growth."""

    base: BaseRecord
    modules: tuple[ModuleRecord, ...] = ()

    def parents(self) -> dict[str, tuple[str, ...]]:
        """Return, for each module in order of growth, the path it was grown on."""
        return {module.name: module.parents for module in self.modules}

    def newest_version(self, name: str) -> str:
        """Return the module that answers in a module's place: itself, or the last of those that superseded it."""
        for module in self.modules:  # in order of growth, so that a chain is followed to its end
            if name in module.supersedes:
                name = module.name
        return name

    def current(self) -> tuple[str, ...]:
        """List the modules that no other has superseded, in order of growth."""
        return tuple(module.name for module in self.modules if self.newest_version(module.name) == module.name)

    def record(self, name: str) -> ModuleRecord:
        """Return a module's record.

        Raises:
            GrowlmError: if there is no such module.
        """
        return self.modules[self._index(name)]

    def folder_of(self, name: str) -> str:
        """Return a module's folder inside the stack's folder.

        Raises:
            GrowlmError: if there is no such module.
        """
        return module_folder(self._index(name), name)

    def _index(self, name: str) -> int:
        names = [module.name for module in self.modules]
        if name not in names:
            raise unknown_name("module", name, names)
        return names.index(name)


@dataclass(frozen=True)
class StackFile:
    """The content of ``stack.json``.

    Args:
        manifest: the records of the base and of the modules.
        files: SHA-256 of every file that growlm wrote into the folder, ``stack.json`` excepted, by its relative path;
            empty for a stack of format version 1, which had no such listing.
        version: the format version.
    """

    manifest: Manifest
    files: dict[str, str]
    version: int = FORMAT_VERSION


def module_folder(index: int, name: str) -> str:
    """Return the folder of a module inside the stack's folder, by its place in order of growth."""
    return f"{MODULES}/{index:02d}-{name}"


def module_json(module: ModuleRecord) -> str:
    """Render a module's own file."""
    return render_json({"format_version": MODULE_FORMAT_VERSION, **asdict(module)})


def stack_json(manifest: Manifest, files: Mapping[str, str] | None = None) -> str:
    """Render ``stack.json``.

    Args:
        manifest: the records of the base and of the modules.
        files: SHA-256 of every file of the stack by its relative path; those of ``module.json`` are computed.

    Returns:
        The modules by name, folder and size, the listing of files, and a digest of the whole.
    """
    records = {
        f"{manifest.folder_of(module.name)}/{MODULE_FILE}": text_digest(module_json(module))
        for module in manifest.modules
    }
    content: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "base": asdict(manifest.base),
        "modules": _entries(manifest, FORMAT_VERSION),
        "files": dict(sorted({**(files or {}), **records}.items())),
    }
    return render_json(seal(content))


def version_1_json(manifest: Manifest) -> str:
    """Render ``stack.json`` as format version 1 had it."""
    content = {"format_version": 1, "base": asdict(manifest.base), "modules": _entries(manifest, 1)}
    return render_json(seal(content))


def read_manifest(folder: Path) -> Manifest:
    """Read a stack's manifest, and check that nothing in it was edited.

    Args:
        folder: the stack's folder; another process may be writing to it.

    Returns:
        The records of the base and of the modules.

    Raises:
        GrowlmError: if the folder is not a stack, its format is newer than this growlm, or a file was changed.
    """
    return read_stack_file(folder).manifest


def read_stack_file(folder: Path) -> StackFile:
    """Read ``stack.json`` and the modules' records, and check that nothing in them was edited.

    Args:
        folder: the stack's folder; another process may be writing to it.

    Returns:
        The records and the listing of files.

    Raises:
        GrowlmError: if the folder is not a stack, its format is newer than this growlm, or a file was changed.
    """
    return read_consistently(folder, lambda: _read_stack_file(folder))


def read_consistently(folder: Path, read: Callable[[], T]) -> T:
    """Read from a stack's folder, and read again if it failed while another process replaced ``stack.json``.

    Args:
        folder: the stack's folder.
        read: reads and checks; called again after such a failure.

    Returns:
        What ``read`` returned.

    Raises:
        GrowlmError: if ``read`` raises it and ``stack.json`` is the same file as before.
    """
    while True:
        before = _identity(folder / STACK_FILE)
        try:
            return read()
        except GrowlmError:
            if _identity(folder / STACK_FILE) == before:
                raise


def _read_stack_file(folder: Path) -> StackFile:
    path = folder / STACK_FILE
    if not path.exists():
        if any(path.parent.glob(f"{MODULES}/*/{MODULE_FILE}")):
            raise GrowlmError(f"{path} is missing, but there are modules: rebuild it with 'growlm repair {folder}'")
        raise GrowlmError(
            f"{folder} is not a stack ({STACK_FILE} is missing): grow one with 'growlm grow --skill chat'"
        )
    text = read_bytes(path, MAX_FILE_BYTES)
    remedy = f"restore it from a copy, or rebuild it with 'growlm repair {folder}'"
    content = unseal(parse_json(text, path), path, (1, FORMAT_VERSION), restore=remedy)
    if text != render_json(seal(content)).encode():
        raise GrowlmError(f"{path} was edited or damaged (its layout is not growlm's): {remedy}")
    version = content["format_version"]
    fields_expected = {"format_version", "base", "modules", *(["files"] if version > 1 else [])}
    if set(content) != fields_expected:
        raise GrowlmError(f"{path} does not have the fields of a stack: {remedy}")
    files = content.get("files", {})
    if not fits(files, dict[str, str]) or not all(is_own_file(name) for name in files):
        raise GrowlmError(f"{path} lists files that growlm does not write: {remedy}")
    try:
        base = _record(BaseRecord, content["base"], path)
        modules = tuple(
            _read_listed_module(folder, index, entry, files) for index, entry in enumerate(content["modules"])
        )
        manifest = Manifest(base, modules)
        consistent = len(manifest.parents()) == len(modules) and content["modules"] == _entries(manifest, version)
    except (KeyError, TypeError, AttributeError) as error:
        raise GrowlmError(f"{path} does not have the fields of a stack ({error}): {remedy}") from None
    if not consistent:
        raise GrowlmError(f"{path} contradicts itself or its modules: {remedy}")
    for index, module in enumerate(modules):
        check_module(module, modules[:index], f"{folder / module_folder(index, module.name) / MODULE_FILE}")
    return StackFile(manifest, dict(files), version)


def _entries(manifest: Manifest, version: int) -> list[dict[str, Any]]:
    return [
        {
            "name": module.name,
            "folder": manifest.folder_of(module.name),
            "kinds": list(module.kinds),
            "parents": list(module.parents),
            "parameters": module.parameters,
            **({"digest": text_digest(module_json(module))} if version == 1 else {}),
        }
        for module in manifest.modules
    ]


def _read_listed_module(folder: Path, index: int, entry: dict[str, Any], files: Mapping[str, str]) -> ModuleRecord:
    name = check_name(entry["name"], "module")
    own = f"{module_folder(index, name)}/{MODULE_FILE}"
    module, digest = read_module(folder / own)
    if module.name != name or digest != (entry["digest"] if "digest" in entry else files[own]):
        raise GrowlmError(f"{folder / own} was edited or damaged (its digest does not fit): restore it from a copy")
    return module


def read_module(path: Path) -> tuple[ModuleRecord, str]:
    """Read a module's own file.

    Args:
        path: the file.

    Returns:
        The record, and the SHA-256 of the file.

    Raises:
        GrowlmError: if it is missing, of another format version, or does not have the fields of a module.
    """
    content = read_bytes(path, MAX_FILE_BYTES)
    found = parse_json(content, path)
    if not isinstance(found, dict) or "format_version" not in found:
        raise GrowlmError(f"{path} is not a growlm file: it has no format_version")
    version = found["format_version"]
    if type(version) is not int or version != MODULE_FORMAT_VERSION:
        raise GrowlmError(
            f"{path} has format version {version!r}, this growlm reads version {MODULE_FORMAT_VERSION}: "
            "upgrade growlm (pip install --upgrade growlm)"
        )
    return _record(ModuleRecord, found, path), hashlib.sha256(content).hexdigest()


def _record(record: type[R], content: dict[str, Any], path: Path) -> R:
    names = [item.name for item in fields(record)]  # type: ignore[arg-type]
    if set(content) - {"format_version"} != set(names):
        raise GrowlmError(f"{path} does not have the fields of a {record.__name__}: restore it from a copy")
    values = {name: content[name] for name in names}
    for name, hint in get_type_hints(record).items():
        if get_origin(hint) is tuple and isinstance(values[name], list):
            values[name] = tuple(values[name])
        if not fits(values[name], hint):
            raise GrowlmError(f"{path}: {name!r} has a value of the wrong type: restore it from a copy")
    return record(**values)


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
