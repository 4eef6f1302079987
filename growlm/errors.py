"""The one error type for mistakes that the user can correct, and errors of the system and of libraries as one line."""

import errno
import os
from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 1_000
_MOST_LISTED = 100


class GrowlmError(Exception):
    """What was found, what was expected and what to do, in one line.

    The command line prints the message alone and exits with status 2; anything else that is raised is a bug
    of growlm and keeps its traceback.

    Args:
        message: the message; of a very long one, which quotes a value of a file, the middle is left out.
    """

    def __init__(self, message: str) -> None:
        if len(message) > _LONGEST:
            half = _LONGEST // 2
            message = f"{message[:half]} […] {message[-half:]}"
        super().__init__(message)


def unknown_name(what: str, found: str, known: Iterable[str]) -> GrowlmError:
    """Build the error for a name that does not exist, offering the nearest one.

    Args:
        what: what the name means, such as ``"skill"``.
        found: the name as it was given.
        known: the names that exist.

    Returns:
        The error, to be raised by the caller.
    """
    names = sorted(known)
    near = get_close_matches(found, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    if len(names) > _MOST_LISTED:
        return GrowlmError(f"unknown {what} {found!r}: {hint or 'none of that name among '}{len(names):,} known")
    listing = ", ".join(names) if names else "none"
    return GrowlmError(f"unknown {what} {found!r}: {hint}known: {listing}")


def needs_extra(what: str, package: str | None, extra: str) -> GrowlmError:
    """Build the error for a package that is not installed, naming the extra that brings it.

    Args:
        what: what needs it, such as ``"a plot"``.
        package: the package's name.
        extra: the extra of growlm.

    Returns:
        The error, to be raised by the caller.
    """
    return GrowlmError(f"{what} needs the package {package}: pip install 'growlm[{extra}]'")


def check_at_least(option: str, value: float, least: float, otherwise: str = "") -> None:
    """Refuse a value below the smallest one, and one that is not a number.

    Args:
        option: what the value is of, such as ``"ewc strength"``.
        value: the value as it was given.
        least: the smallest that is valid.
        otherwise: what else may be given, such as ``"null for all"``.

    Raises:
        GrowlmError: for a value that is less, or not a number.
    """
    if not value >= least:
        raise GrowlmError(f"{option} {value} is too small: give {least:g} or more{otherwise and f', or {otherwise}'}")


def check_positive(option: str, value: float) -> None:
    """Refuse zero, what is below it, and what is not a number; see ``check_at_least``."""
    if not value > 0:
        raise GrowlmError(f"{option} {value} is too small: give more than 0")


def outside_error(error: BaseException) -> str | None:
    """Say in one line what the system, a damaged file or a library at loading reported.

    Args:
        error: what was raised.

    Returns:
        What happened to which path and what to do; None for anything else, which is a bug and keeps its traceback.
    """
    if isinstance(error, OSError):
        return _system_error(error)
    if isinstance(error, UnicodeError):
        return f"text is not valid {getattr(error, 'encoding', 'UTF-8')} ({error}): save the file as UTF-8"
    if isinstance(error, RecursionError):
        return None
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "not enough memory: use a smaller batch, a shorter context or a smaller base"
    if type(error).__name__ == "MisconfigurationException":  # Lightning's, found when a training begins
        return f"Lightning refuses an option of the trainer: {error}"
    origin, said = type(error).__module__.partition(".")[0], f"{type(error).__name__}: {error}"
    if origin in _READERS:
        return f"{origin} refuses a file ({said}): it is damaged or not what its name says; get it again"
    if any(words in str(error) for words in _TORCH_WRITER):  # torch has no error of its own for it
        return f"a file could not be written ({said}): is the disk full?"
    return None


_READERS = ("safetensors", "safetensors_rust", "huggingface_hub", "tokenizers", "yaml", "zipfile", "lzma", "gguf")
_TORCH_WRITER = ("PytorchStreamWriter", "unexpected pos", "iostream error")
_ADVICE = {
    errno.ENOSPC: "free some space, then run the command again",
    errno.EDQUOT: "free some space, then run the command again",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "change its permissions, or choose another place",
    errno.EPERM: "change its permissions, or choose another place",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path: a part of it is a file",
    errno.EISDIR: "give the path of a file",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.EIO: "check the disk",
}


def _system_error(error: OSError) -> str:
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    what = error.strerror or str(error) or type(error).__name__
    return f"{where}{what}: {_ADVICE.get(error.errno or 0, 'check the path and the disk, then run the command again')}"


def one_line(text: str) -> str:
    """Put a text on one line without anything that steers a terminal; it may quote a stranger's file."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
