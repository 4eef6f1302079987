"""The one error type for mistakes that the user can mend."""

from collections.abc import Iterable
from difflib import get_close_matches


class GrowlmError(Exception):
    """What was found, what was expected and what to do, in one line.

    The command line prints the message alone and exits with status 2; anything else that is raised is a bug
    of growlm and keeps its traceback.
    """


def unknown_name(what: str, found: str, known: Iterable[str]) -> GrowlmError:
    """Builds the error for a name that does not exist, offering the nearest one.

    Args:
        what: what the name stands for, such as ``"skill"``.
        found: the name as it was given.
        known: the names that exist.

    Returns:
        The error, to be raised by the caller.
    """
    names = sorted(known)
    near = get_close_matches(found, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    listing = ", ".join(names) if names else "none"
    return GrowlmError(f"unknown {what} {found!r}: {hint}known: {listing}")


def one_line(text: str) -> str:
    """Puts a text on one line without anything that steers a terminal; it may quote a stranger's file."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
