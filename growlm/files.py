"""Crash-safe files: atomic writes, digests, strict reads and a lock on a folder."""

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growlm.errors import GrowlmError, outside_error

if TYPE_CHECKING:
    from torch import Tensor

MAX_JSON_BYTES = 256 << 20
MAX_JSON_DEPTH = 100
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_name(name: str, what: str) -> str:
    """Check a name that becomes a folder, so that it can neither leave its parent nor hide.

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
def plain_os_errors(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into one line for the user.

    Args:
        path: what the block works on, named where the error itself names no file.

    Raises:
        GrowlmError: the path, what went wrong, what to do.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # raised by a library, with a text of its own
            raise
        where = "" if isinstance(error.filename, str | bytes) else f"{path}: "
        raise GrowlmError(f"{where}{outside_error(error)}") from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling that replaces ``path`` in one step when the block ends without an error."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically (UTF-8)."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, indented, keys in the order given.

    Raises:
        GrowlmError: if it holds a number that is not finite, which JSON cannot express.
    """
    try:
        text = render_json(content)
    except ValueError as error:
        raise GrowlmError(f"{path} cannot be written as JSON ({error}): a number in it is not finite") from None
    write_text(path, text)


def render_json(content: Any) -> str:
    """Render JSON as growlm's files hold it: indented, keys in the order given, finite numbers only."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_bytes(path: Path, limit: int = MAX_JSON_BYTES) -> bytes:
    """Read a regular file whole; never wait for a pipe or a device.

    Args:
        path: the file.
        limit: the greatest size in bytes.

    Raises:
        GrowlmError: if it is missing, is not a regular file, is larger, or cannot be read.
    """
    try:
        with plain_os_errors(path), open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as handle:  # noqa: PTH123
            status = os.fstat(handle.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise GrowlmError(f"{path} is {file_kind(status.st_mode)}, expected a file: move it away")
            if status.st_size > limit:
                raise GrowlmError(f"{path} has {status.st_size:,} bytes, expected at most {limit:,}: restore it")
            return handle.read()
    except GrowlmError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise GrowlmError(f"{path} is missing: is its folder complete?") from None
        raise


def file_kind(mode: int) -> str:
    """Name the kind of a directory entry from its ``st_mode``."""
    return _KINDS.get(stat.S_IFMT(mode), "a file")


def read_json(path: Path, limit: int = MAX_JSON_BYTES) -> Any:
    """Read a JSON file of finite numbers.

    Args:
        path: the file.
        limit: the greatest size in bytes.

    Raises:
        GrowlmError: if the file is missing, larger, or not such JSON.
    """
    return parse_json(read_bytes(path, limit), path)


def parse_json(content: bytes, path: Path) -> Any:
    """Parse the bytes of a JSON file.

    Args:
        content: the bytes.
        path: where they are from, for the message.

    Raises:
        GrowlmError: if they are not JSON of finite numbers, or nested deeper than 100 levels.
    """
    try:
        parsed = json.loads(content.decode(), parse_constant=_refuse_constant, parse_float=_finite)
        _refuse_deep(parsed, MAX_JSON_DEPTH)
        return parsed
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, too many digits, nested too deeply
        raise GrowlmError(f"{path} is not valid JSON ({error}): restore it from a copy") from None


def write_tensors(path: Path, tensors: Mapping[str, "Tensor"], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file atomically.

    Raises:
        GrowlmError: if it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    values = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        try:
            save_file(values, temporary, metadata=metadata)
        except SafetensorError as error:
            raise GrowlmError(f"{path} cannot be written ({error}): is the disk full?") from None
        temporary.chmod(0o666 & ~_umask())  # the format's writer makes files that only their owner can read


def read_tensors(path: Path) -> dict[str, "Tensor"]:
    """Read a safetensors file whole; header and sizes are checked by the format's own reader.

    Raises:
        GrowlmError: if the file is missing, truncated or otherwise no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _require_file(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise GrowlmError(f"{path} is damaged ({error}): restore it from a copy or grow it again") from None


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file.

    Raises:
        GrowlmError: as ``read_tensors`` does.
    """
    from safetensors import SafetensorError, safe_open

    _require_file(path)
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise GrowlmError(f"{path} is damaged ({error}): restore it from a copy or grow it again") from None


def tensor_digest(tensor: "Tensor") -> str:
    """Compute the SHA-256 of a tensor's dtype, shape and bytes, as hex."""
    import torch

    data = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{data.dtype} {tuple(data.shape)}".encode())
    digest.update(data.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def tensor_digests(tensors: Mapping[str, "Tensor"]) -> dict[str, str]:
    """Compute the digest of every tensor, by name in sorted order."""
    return {name: tensor_digest(tensors[name]) for name in sorted(tensors)}


def combined_digest(digests: Mapping[str, str]) -> str:
    """Compute one SHA-256 over names and digests in sorted order, as hex."""
    lines = "".join(f"{name} {digests[name]}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


def check_digests(found: Mapping[str, str], expected: Mapping[str, str], where: str) -> None:
    """Compare the digests of tensors with those expected.

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
    """Compute the SHA-256 of a regular file's bytes, as hex.

    Raises:
        GrowlmError: if it is missing, is not a regular file, or cannot be read.
    """
    _require_file(path)
    with plain_os_errors(path), path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def cache_folder() -> Path:
    """Return the folder for what can be computed anew: ``GROWLM_CACHE`` or ``~/.cache/growlm``."""
    return Path(os.environ.get("GROWLM_CACHE") or "~/.cache/growlm").expanduser()


def require_disk_space(folder: Path, num_bytes: int) -> None:
    """Check that a disk has room for what is going to be written.

    Args:
        folder: a folder on the disk to be written.
        num_bytes: the most that is going to be written.

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
    """Hold a folder for one process; the system releases it when the process ends, however it ends.

    Raises:
        GrowlmError: if another process holds it, or it cannot be written to.
    """
    import fcntl

    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    path = folder / ".lock"
    with plain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise GrowlmError(f"{path} is {file_kind(path.lstat().st_mode)}, expected a file: move it away")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "r+") as handle:
        try:
            with plain_os_errors(path):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except GrowlmError as error:
            if not isinstance(error.__cause__, BlockingIOError):
                raise
            holder = handle.read().strip() or "another process"
            raise GrowlmError(f"{folder} is in use by {holder}: wait until it ends, or give another folder") from None
        if not path.exists() or not os.path.samestat(os.fstat(handle.fileno()), path.stat()):
            # the last holder removed the file between our opening and our locking it
            raise GrowlmError(f"{folder} was just in use by another process: try again")
        with plain_os_errors(path):
            handle.truncate(0)
            handle.write(f"process {os.getpid()}")
            handle.flush()
        try:
            yield
        finally:
            with plain_os_errors(folder):
                path.unlink(missing_ok=True)
                for made in missing:  # what was made here goes again, from the folder upwards, unless it is in use
                    with suppress(OSError):
                        made.rmdir()


def sync_folder(folder: Path) -> None:
    """Make what was renamed or removed in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _require_file(path: Path) -> None:
    try:
        status = path.stat()
    except OSError:
        raise GrowlmError(f"{path} is missing: is its folder complete?") from None
    if not stat.S_ISREG(status.st_mode):
        raise GrowlmError(f"{path} is {file_kind(status.st_mode)}, expected a file: move it away")


def _refuse_deep(value: Any, levels: int) -> None:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        if isinstance(item, dict | list):
            if not levels:
                raise ValueError(f"nested deeper than {MAX_JSON_DEPTH} levels")
            _refuse_deep(item, levels - 1)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a finite number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
