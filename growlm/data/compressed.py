"""Reading compressed files as what they hold."""

import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from growlm.errors import GrowlmError, needs_extra

COMPRESSIONS = (".gz", ".xz", ".zst")


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to read bytes, decompressed, for a ``with`` block.

    Args:
        path: the file; what its name ends in says how it is compressed.

    Raises:
        GrowlmError: if it is damaged or may not be read, also while it is read.
    """
    compression = path.suffix.lower()
    try:
        with _decompressed(path, compression) as file:
            yield file
    except (lzma.LZMAError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise GrowlmError(f"{path} is not a whole {compression} file ({error}): restore it from a copy") from None
    except PermissionError:
        raise GrowlmError(f"{path} cannot be read: give yourself permission to read it") from None


def _decompressed(path: Path, compression: str) -> Any:
    if compression == ".xz":
        return lzma.open(path)
    if compression == ".gz":
        return gzip.open(path)
    return _zstandard(path) if compression == ".zst" else path.open("rb")


@contextmanager
def _zstandard(path: Path) -> Iterator[IO[bytes]]:
    try:
        import zstandard  # type: ignore[import-not-found, import-untyped, unused-ignore]  # an extra
    except ImportError:
        raise needs_extra(str(path), "zstandard", "data") from None
    try:
        with zstandard.open(path, "rb") as file:
            yield io.BufferedReader(file)
    except zstandard.ZstdError as error:
        raise GrowlmError(f"{path} is not a whole .zst file ({error}): restore it from a copy") from None
