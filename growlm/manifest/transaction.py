"""A change of a stack's files that happens as a whole or not at all, whenever the process ends.

1. Everything new is written below ``.staged.tmp/files``, and ``.staged.tmp/plan.json`` says what is new and what goes;
   the folder is then renamed to ``.staged``.
2. Files whose names are not in use yet are moved to their places.
3. ``stack.json`` is replaced: this decides.
4. Files that replace others are moved, those that go are removed, ``.staged`` is removed.

``finish`` takes back what was interrupted before step 3 and completes what was interrupted after it. Only files whose
names growlm writes are touched (see ``own_files``), and only those listed in ``stack.json`` or staged here.
"""

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from growlm.errors import GrowlmError
from growlm.files import atomic_path, file_digest, read_json, sync_folder, write_bytes, write_json, write_tensors
from growlm.manifest.manifest import STACK_FILE
from growlm.manifest.own_files import MODULES, is_own_file
from growlm.sealed import seal, unseal

if TYPE_CHECKING:
    from torch import Tensor

STAGED = ".staged"
_FILES = "files"
_PLAN = "plan.json"
_FORMAT_VERSION = 1


class Transaction:
    """A change that is being staged; use it as a context manager.

    Args:
        folder: the stack's folder; it must be locked, and ``finish`` must have been called.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._staging = folder / f"{STAGED}.tmp"
        self.files: dict[str, str] = {}
        """SHA-256 of every staged file, by its relative path."""

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_folder(self._staging)
        (self._staging / _FILES).mkdir(parents=True)
        return self

    def __exit__(self, *error: object) -> None:
        remove_folder(self._staging)

    def put(self, name: str, content: bytes) -> None:
        """Stage a file by its content."""
        write_bytes(self._target(name), content)
        self._written(name)

    def put_tensors(self, name: str, tensors: Mapping[str, "Tensor"]) -> None:
        """Stage a safetensors file."""
        write_tensors(self._target(name), tensors)
        self._written(name)

    def put_copy(self, name: str, source: Path) -> None:
        """Stage a copy of a file."""
        with atomic_path(self._target(name)) as temporary:
            shutil.copyfile(source, temporary)
        self._written(name)

    def apply(self, stack_json: str, listed: Collection[str], remove: Collection[str] = ()) -> None:
        """Apply the change.

        Args:
            stack_json: the new content of ``stack.json``.
            listed: the files that growlm wrote before, by relative path.
            remove: those of them that go.

        Raises:
            GrowlmError: if a file that growlm did not write has the name of a new one; nothing was changed then.
        """
        for name in self.files:
            place = self.folder / name
            if name not in listed and (place.exists() or place.is_symlink()):
                raise GrowlmError(f"{place} is in the way, and growlm did not write it: move it away")
        write_bytes(self._staging / _FILES / STACK_FILE, stack_json.encode())
        new = {name: digest for name, digest in self.files.items() if name not in listed}
        plan = {"format_version": _FORMAT_VERSION, "new": new, "remove": sorted(remove)}
        write_json(self._staging / _PLAN, seal(plan))
        for staged in (self._staging, *self._staging.rglob("*")):
            if staged.is_dir():
                sync_folder(staged)
        self._staging.rename(self.folder / STAGED)
        sync_folder(self.folder)
        _move(self.folder, [name for name in self.files if name in new])
        _move(self.folder, [STACK_FILE])
        finish(self.folder)

    def _target(self, name: str) -> Path:
        if not is_own_file(name):
            raise ValueError(f"{name} is not a file of a stack")
        target = self._staging / _FILES / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _written(self, name: str) -> None:
        self.files[name] = file_digest(self._staging / _FILES / name)


def finish(folder: Path) -> None:
    """Complete a change that was interrupted after it was decided, or take back one that was not.

    Args:
        folder: the stack's folder; it must be locked.

    Raises:
        GrowlmError: if what is staged is damaged.
    """
    remove_folder(folder / f"{STAGED}.tmp")
    staged = folder / STAGED
    if not staged.exists():
        return
    plan = unseal(read_json(staged / _PLAN), staged / _PLAN, (_FORMAT_VERSION,))
    new, remove = dict(plan["new"]), list(plan["remove"])
    if not all(is_own_file(name) for name in (*new, *remove)):
        raise GrowlmError(f"{staged / _PLAN} names files that growlm does not write: remove {staged}")
    if (staged / _FILES / STACK_FILE).exists():  # not decided
        for name, digest in new.items():
            if (folder / name).is_file() and file_digest(folder / name) == digest:
                _remove_file(folder, name)
    else:
        found = (
            path.relative_to(staged / _FILES).as_posix() for path in (staged / _FILES).rglob("*") if path.is_file()
        )
        _move(folder, sorted(name for name in found if is_own_file(name)))
        for name in remove:
            _remove_file(folder, name)
    staged.rename(folder / f"{STAGED}.tmp")
    sync_folder(folder)
    remove_folder(folder / f"{STAGED}.tmp")


def staged_path(folder: Path, name: str) -> Path:
    """Return where a file of the decided state is: in its place, or staged if the change was not completed."""
    staged = folder / STAGED / _FILES
    decided = not (staged / STACK_FILE).exists()
    return staged / name if decided and (staged / name).exists() else folder / name


def remove_folder(folder: Path) -> None:
    """Remove a folder of growlm's own and what is in it, if it is there and is not a link."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise GrowlmError(f"{folder} is in the way, and growlm did not write it: move it away")
    if folder.exists():
        shutil.rmtree(folder)


def _move(folder: Path, names: Collection[str]) -> None:
    """Move staged files to their places, and make that last."""
    touched: set[Path] = set()
    for name in names:
        place = folder / name
        for parent in [*reversed(place.relative_to(folder).parents)][1:]:
            if not (folder / parent).exists():
                (folder / parent).mkdir()
                touched.add((folder / parent).parent)
        (folder / STAGED / _FILES / name).replace(place)
        touched.add(place.parent)
    for parent in sorted(touched):
        sync_folder(parent)


def _remove_file(folder: Path, name: str) -> None:
    """Remove one of growlm's files, and the folders of growlm's that this leaves empty."""
    (folder / name).unlink(missing_ok=True)
    for parent in [*Path(name).parents][:-1]:
        place = folder / parent
        if parent.parts[0] != MODULES or not place.exists() or any(place.iterdir()):
            return
        place.rmdir()
