"""A stack's folder: beginning, committing a module, undoing it, dropping one, saving a whole stack.

Every change of the folder is a ``Transaction``; ``stack.json`` lists every file that growlm wrote, and no other file is
moved, copied or removed. Stacks of format version 1, which have no such listing, are listed on their first change.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from growlm.errors import GrowlmError
from growlm.files import file_digest, folder_lock, plain_os_errors, require_disk_space
from growlm.manifest import version_1
from growlm.manifest.earlier import RENDERED, Top, digest_of, kept_files, read_state, restored_files
from growlm.manifest.manifest import (
    METHOD_FILE,
    MODULE_FILE,
    STACK_FILE,
    TENSOR_FILE,
    Manifest,
    StackFile,
    module_folder,
    module_json,
    read_stack_file,
    stack_json,
)
from growlm.manifest.own_files import (
    BEFORE,
    CONFIG_FILE,
    MODULES,
    STATE_FILE,
    TOP_FILES,
    TRANSFORMERS_FILES,
    refuse_links,
)
from growlm.manifest.transaction import Transaction, finish

if TYPE_CHECKING:
    from torch import Tensor

    from growlm.manifest.config import GrowlmConfig

WORK = ".work"


@dataclass(frozen=True)
class TensorFile:
    """A safetensors file at the top of a stack's folder.

    Args:
        tensors: the tensors by name.
        metadata: the file's metadata, one entry at most: the order of several is not the same in every file.
    """

    tensors: Mapping[str, "Tensor"]
    metadata: dict[str, str] = field(default_factory=dict)


Files = Mapping[str, str | TensorFile]
"""Files at the top of a stack's folder by name: text, or tensors."""


P = ParamSpec("P")
T = TypeVar("T")


def _plain_errors(change: Callable[Concatenate[Path, P], T]) -> Callable[Concatenate[Path, P], T]:
    """Make errors of the operating system one line in a function whose first argument is the stack's folder."""

    @wraps(change)
    def wrapped(folder: Path, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with plain_os_errors(folder):
            return change(folder, *args, **kwargs)

    return wrapped


@_plain_errors
def begin(folder: Path, manifest: Manifest, config: "GrowlmConfig", files: Files | None = None) -> None:
    """Write a stack without modules.

    Args:
        folder: the stack's folder.
        manifest: a manifest without modules.
        config: the stack's config.
        files: further files at the top of the folder, by name.

    Raises:
        GrowlmError: if a file that growlm did not write is in the way, or the folder cannot be written to.
    """
    with Transaction(folder) as change:
        top = render_top(config, _without_users(folder, {}, files or {}))
        for name, content in top.items():
            change.put(name, content)
        change.apply(stack_json(manifest, change.files), ())


@_plain_errors
def commit(
    folder: Path,
    manifest: Manifest,
    config: "GrowlmConfig",
    tensors: Mapping[str, "Tensor"],
    method_tensors: Mapping[str, "Tensor"],
    files: Files | None = None,
) -> None:
    """Add the manifest's newest module to a stack's folder.

    Args:
        folder: a folder that holds the stack without that module.
        manifest: the manifest with it.
        config: the stack's config with it.
        tensors: the module's tensors.
        method_tensors: what the method keeps for later phases; none: no file is written for it.
        files: further files at the top of the folder, by name.

    Raises:
        GrowlmError: if the folder holds another stack, the disk is too full or cannot be written to, or a file that
            growlm did not write is in the way.
    """
    stored = _read(folder)
    earlier = replace(manifest, modules=manifest.modules[:-1])
    if stored.manifest != earlier:
        raise GrowlmError(f"{folder} was changed by another command meanwhile: run the command again")
    module = manifest.modules[-1]
    own = manifest.folder_of(module.name)
    old = _read_top(folder, stored.files)
    new = render_top(config, _without_users(folder, stored.files, files or {}))
    require_disk_space(folder, 2 * (_size(tensors) + _size(method_tensors) + sum(map(len, new.values()))))
    with Transaction(folder) as change:
        change.put_tensors(f"{own}/{TENSOR_FILE}", tensors)
        if method_tensors:
            change.put_tensors(f"{own}/{METHOD_FILE}", method_tensors)
        change.put(f"{own}/{MODULE_FILE}", module_json(module).encode())
        for name, content in kept_files(earlier, old, new).items():
            change.put(f"{own}/{BEFORE}/{name}", content)
        _apply(change, stored, manifest, new)


@_plain_errors
def undo(folder: Path) -> str:
    """Remove the newest module from a stack's folder and restore the files at its top.

    Args:
        folder: the stack's folder.

    Returns:
        The module's name.

    Raises:
        GrowlmError: if the folder is not a stack, has no module, or what undo needs is missing or damaged; nothing was
            changed then.
    """
    stored = _read(folder)
    if not stored.manifest.modules:
        raise GrowlmError(f"{folder} has no module to undo")
    name = stored.manifest.modules[-1].name
    earlier = replace(stored.manifest, modules=stored.manifest.modules[:-1])
    try:
        top = _earlier_top(folder, stored, len(earlier.modules), _read_top(folder, stored.files))
    except GrowlmError as error:
        raise GrowlmError(f"{name!r} cannot be undone: {error}") from None
    with Transaction(folder) as change:
        _apply(change, stored, earlier, top)
    return name


@_plain_errors
def recover(folder: Path) -> None:
    """Finish or take back what an interrupted command left, and refuse a folder that cannot be written to safely.

    Args:
        folder: a folder that may hold a stack; it must be locked.

    Raises:
        GrowlmError: if there are links, pipes or devices, modules without ``stack.json``, a damaged ``stack.json``, or
            files that growlm did not write where it would have to write.
    """
    refuse_links(folder)
    finish(folder)
    listed: Mapping[str, str] = {}
    if (folder / STACK_FILE).exists() or any(folder.glob(f"{MODULES}/*/{MODULE_FILE}")):
        read_stack_file(folder)  # refuses an edited one before anything is removed on its word
        version_1.finish(folder)
        listed = _read(folder).files
    for name in TOP_FILES:
        if name not in RENDERED and name not in listed and (folder / name).exists():
            raise GrowlmError(f"{folder / name} is in the way, and growlm did not write it: choose another folder")


@_plain_errors
def drop(folder: Path, manifest: Manifest, index: int, rewrite: Callable[[Manifest, Top], Top]) -> None:
    """Remove a module that is not the newest from a stack's folder; later ones move up and keep their bytes.

    Args:
        folder: the stack's folder; it must be locked and recovered.
        manifest: the stack's manifest.
        index: which module; not the last one, which ``undo`` removes.
        rewrite: ``rewrite(manifest, top)`` renders the files at the top for a manifest without the module, from those
            with it.

    Raises:
        GrowlmError: if what undo needs is missing or damaged, or the disk is too full; nothing was changed then.
    """
    stored = _read(folder)
    modules = (*manifest.modules[:index], *manifest.modules[index + 1 :])
    moved = [module_folder(old, manifest.modules[old].name) for old in range(index + 1, len(manifest.modules))]
    require_disk_space(folder, sum((folder / name).stat().st_size for name in _below(stored.files, *moved)))
    with Transaction(folder) as change:
        found = _read_top(folder, stored.files)
        newest = top = rewrite(replace(manifest, modules=modules), found)
        for old in range(len(manifest.modules) - 1, index, -1):  # from the newest back, as undo would
            found = _earlier_top(folder, stored, old, found)
            earlier = replace(manifest, modules=modules[: old - 1])
            # what was there before the dropped module is what was there before the next one now
            before = _earlier_top(folder, stored, index, found) if old == index + 1 else rewrite(earlier, found)
            own = module_folder(old - 1, manifest.modules[old].name)
            for name in (TENSOR_FILE, METHOD_FILE, MODULE_FILE):
                source = f"{module_folder(old, manifest.modules[old].name)}/{name}"
                if source in stored.files:
                    change.put_copy(f"{own}/{name}", folder / source)
            for name, content in kept_files(earlier, before, top).items():
                change.put(f"{own}/{BEFORE}/{name}", content)
            top = before
        _apply(change, stored, replace(manifest, modules=modules), newest)


@_plain_errors
def save(
    folder: Path,
    manifest: Manifest,
    config_of: Callable[[Manifest], "GrowlmConfig"],
    tensors_of: Callable[[str], Mapping[str, "Tensor"]],
    method_tensors_of: Callable[[str], Mapping[str, "Tensor"]],
    files_of: Callable[[Manifest], Files] = lambda manifest: {},
) -> None:
    """Write a whole stack, module by module, holding the folder's lock.

    Args:
        folder: the stack's folder; what is there already must be an earlier state of the same stack.
        manifest: the stack's manifest.
        config_of: returns the stack's config for the manifest up to each module.
        tensors_of: returns a module's tensors by its name.
        method_tensors_of: returns what a module's method keeps for later phases, by the module's name.
        files_of: returns the further files at the top of the folder, for the manifest up to each module.

    Raises:
        GrowlmError: if the folder holds something else, is in use, or cannot be written to.
    """
    bare = replace(manifest, modules=())
    with folder_lock(folder):
        recover(folder)
        if (folder / STACK_FILE).exists():
            there = read_stack_file(folder).manifest
            if there.base.digest != manifest.base.digest or there.modules != manifest.modules[: len(there.modules)]:
                raise GrowlmError(f"{folder} holds another stack: choose a folder that is empty or not there")
        else:
            there = bare
            begin(folder, bare, config_of(bare), files_of(bare))
        for index in range(len(there.modules), len(manifest.modules)):
            upto = replace(there, modules=manifest.modules[: index + 1])
            name = manifest.modules[index].name
            commit(folder, upto, config_of(upto), tensors_of(name), method_tensors_of(name), files_of(upto))


def _read(folder: Path) -> StackFile:
    """Read ``stack.json``; list the files of a stack of format version 1, which does not do so itself."""
    stored = read_stack_file(folder)
    return stored if stored.version > 1 else replace(stored, files=version_1.list_files(folder, stored.manifest))


def _apply(change: Transaction, stored: StackFile, manifest: Manifest, top: Top) -> None:
    """Stage the files at the top that change, list everything that there is then, and apply the change.

    Files in folders of modules that the manifest does not have go; those of a stack of format version 1 get the state
    that undo needs.
    """
    folders = {manifest.folder_of(module.name) for module in manifest.modules}
    kept = {
        name: digest
        for name, digest in stored.files.items()
        if name in top or name.rpartition("/")[0].removesuffix(f"/{BEFORE}") in folders
    }
    for name, content in top.items():
        if digest_of(content) != kept.get(name) or not (change.folder / name).exists():
            change.put(name, content)
    if stored.version == 1:
        for name, content in version_1.states(change.folder, stored.manifest).items():
            if name.removesuffix(f"/{BEFORE}/{STATE_FILE}") in folders and name not in change.files:
                change.put(name, content)
    files = {**kept, **change.files}
    gone = set(stored.files) - set(files) - _edited(change.folder, stored.files)
    change.apply(stack_json(manifest, files), stored.files, gone)


def _read_top(folder: Path, listed: Mapping[str, str]) -> dict[str, bytes]:
    """Read the files at the top of a stack's folder; those that the user edited or removed are the user's now.

    Raises:
        GrowlmError: if one that growlm cannot render again is missing or was edited.
    """
    top: dict[str, bytes] = {}
    for name in (*TOP_FILES, *TRANSFORMERS_FILES):
        if name not in listed:
            continue
        path = folder / name
        intact = path.is_file() and file_digest(path) == listed[name]
        if intact:
            top[name] = path.read_bytes()
        elif name not in (*RENDERED, *TRANSFORMERS_FILES):
            raise GrowlmError(
                f"{path} is missing or was edited or damaged: restore it, or run 'growlm repair {folder}'"
            )
    return top


def render_top(config: "GrowlmConfig", files: Files) -> dict[str, bytes]:
    """Render the files at the top of a stack's folder, ``stack.json`` excepted.

    Args:
        config: the stack's config.
        files: the further files.

    Returns:
        Content by name.
    """
    from safetensors.torch import save as save_tensors

    top = {CONFIG_FILE: config.to_json_string().encode()}
    for name, content in files.items():
        if isinstance(content, str):
            top[name] = content.encode()
        else:
            tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in content.tensors.items()}
            top[name] = save_tensors(tensors, content.metadata)
    return top


def _without_users(folder: Path, listed: Mapping[str, str], files: Files) -> Files:
    """Leave out what the user wrote or edited of what growlm renders or copies: it stays as it is."""
    users = _edited(folder, listed)
    return {name: content for name, content in files.items() if name not in users}


def _edited(folder: Path, listed: Mapping[str, str]) -> set[str]:
    there = (name for name in (*RENDERED, *TRANSFORMERS_FILES) if (folder / name).exists())
    return {name for name in there if file_digest(folder / name) != listed.get(name)}


def _earlier_top(folder: Path, stored: StackFile, index: int, top: Top) -> dict[str, bytes]:
    """Rebuild the files at the top as they were before a module, from those after it."""
    own = folder / module_folder(index, stored.manifest.modules[index].name)
    earlier = replace(stored.manifest, modules=stored.manifest.modules[:index])
    if stored.version == 1:
        version_1.check_before(own, earlier)
        state = version_1.state(own)
    else:
        for name in _below(stored.files, module_folder(index, stored.manifest.modules[index].name) + f"/{BEFORE}"):
            if file_digest(folder / name) != stored.files[name]:
                raise GrowlmError(f"{folder / name} was edited or damaged: restore it from a copy")
        state = read_state(own)
    old = restored_files(own, state, earlier, top)
    # a card that the user edited or wrote stays as it is
    return {
        name: content
        for name, content in old.items()
        if name not in RENDERED or name in top or not (folder / name).exists()
    }


def _below(files: Mapping[str, str], *folders: str) -> list[str]:
    return [name for name in files if name.startswith(tuple(f"{folder}/" for folder in folders))]


def _size(tensors: Mapping[str, "Tensor"]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())
