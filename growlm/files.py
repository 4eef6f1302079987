"""Files that a crash cannot spoil: atomic writes, digests, strict reads and a lock on a folder."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growlm.errors import GrowlmError

if TYPE_CHECKING:
    from torch import Tensor

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def check_name(name: str, what: str) -> str:
    """Checks a name that becomes a folder, so that it can neither leave its parent nor hide.

    Args:
        name: the name as given by a user or a file.
        what: what it names, for the message.

    Returns:
        The name itself.

    Raises:
        GrowlmError: if it has other characters than lower-case letters, digits, ``-`` and ``_``, or is too long.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise GrowlmError(
            f"{what} {name!r} cannot be a name: use 1 to 64 lower-case letters, digits, '-' or '_', beginning with "
            "a letter or digit"
        )
    return name


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary sibling that replaces ``path`` in one step when the block ends without an error."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically (UTF-8)."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Writes JSON atomically, indented, keys in the order given."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        GrowlmError: if the file is missing or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GrowlmError(f"{path} is missing: is its folder complete?") from None
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, a number without end, nested without end
        raise GrowlmError(f"{path} is no JSON ({error}): restore it from a copy") from None


def write_tensors(path: Path, tensors: Mapping[str, "Tensor"], metadata: dict[str, str] | None = None) -> None:
    """Writes a safetensors file atomically."""
    from safetensors.torch import save_file

    with atomic_path(path) as temporary:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            temporary,
            metadata=metadata,
        )
        temporary.chmod(0o666 & ~_umask())  # the format's writer makes files that only their owner can read


def read_tensors(path: Path) -> dict[str, "Tensor"]:
    """Reads a safetensors file whole; header and sizes are checked by the format's own reader.

    Raises:
        GrowlmError: if the file is missing, truncated or otherwise no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError:
        raise GrowlmError(f"{path} is missing: is its folder complete?") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise GrowlmError(f"{path} is damaged ({error}): restore it from a copy or grow it again") from None


def read_metadata(path: Path) -> dict[str, str]:
    """Reads the metadata of a safetensors file.

    Raises:
        GrowlmError: as ``read_tensors`` does.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except FileNotFoundError:
        raise GrowlmError(f"{path} is missing: is its folder complete?") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise GrowlmError(f"{path} is damaged ({error}): restore it from a copy or grow it again") from None


def tensor_digest(tensor: "Tensor") -> str:
    """Computes the SHA-256 of a tensor's dtype, shape and bytes, as hex."""
    import torch

    data = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{data.dtype} {tuple(data.shape)}".encode())
    digest.update(data.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def tensor_digests(tensors: Mapping[str, "Tensor"]) -> dict[str, str]:
    """Computes the digest of every tensor, by name in sorted order."""
    return {name: tensor_digest(tensors[name]) for name in sorted(tensors)}


def combined_digest(digests: Mapping[str, str]) -> str:
    """Computes one SHA-256 over names and digests in sorted order, as hex."""
    lines = "".join(f"{name} {digests[name]}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


def check_digests(found: Mapping[str, str], expected: Mapping[str, str], where: str) -> None:
    """Compares tensors with what they should be.

    Args:
        found: digest of every tensor that is there, by name.
        expected: digest of every tensor that should be there, by name.
        where: where the tensors are, for the message.

    Raises:
        GrowlmError: naming the first tensor that differs.
    """
    for name in sorted({*found, *expected}):
        if found.get(name) != expected.get(name):
            raise GrowlmError(
                f"{where}: tensor {name!r} was changed (expected sha256 {expected.get(name, 'none')[:12]}, "
                f"found {found.get(name, 'none')[:12]}): restore it from a copy"
            )


def file_digest(path: Path) -> str:
    """Computes the SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def require_disk_space(folder: Path, num_bytes: int) -> None:
    """Refuses to begin what would not fit.

    Args:
        folder: a folder on the disk to be written.
        num_bytes: how much is going to be written at most.

    Raises:
        GrowlmError: if less is free.
    """
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < num_bytes:
        raise GrowlmError(
            f"not enough disk space for {folder}: {free / 1e6:.0f} MB free, {num_bytes / 1e6:.0f} MB needed; "
            "free some or choose another folder"
        )


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Holds a folder for one process; the system lets go of it when the process ends, however it ends.

    Raises:
        GrowlmError: if another process holds it.
    """
    import fcntl

    was_there = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    with path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().strip() or "another process"
            raise GrowlmError(f"{folder} is in use by {holder}: wait until it ends, or give another folder") from None
        if not path.exists() or not os.path.samestat(os.fstat(handle.fileno()), path.stat()):
            # the last holder removed the file between our opening and our locking it
            raise GrowlmError(f"{folder} was just in use by another process: try again")
        handle.truncate(0)
        handle.write(f"process {os.getpid()}")
        handle.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            if not was_there and folder.exists() and not any(folder.iterdir()):
                folder.rmdir()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
