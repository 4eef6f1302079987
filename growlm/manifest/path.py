"""Paths: the ordered names of the modules that are active in a forward pass; ``()`` is the bare base."""

from collections.abc import Mapping, Sequence

from growlm.errors import GrowlmError, unknown_name

Path = tuple[str, ...]
Parents = Mapping[str, Path]

BASE = "base"


def normalise(names: Sequence[str], parents: Parents) -> Path:
    """Check a path and sort it by order of growth.

    Args:
        names: names of modules, in any order.
        parents: for each module of the stack, in order of growth, the path it was grown on.

    Returns:
        The path.

    Raises:
        GrowlmError: for an unknown name, or a module without one that it was grown on.
    """
    for name in names:
        if name not in parents:
            raise unknown_name("module", name, [*parents, BASE])
    for name in names:
        missing = [parent for parent in parents[name] if parent not in names]
        if missing:
            raise GrowlmError(
                f"path {format_path(names)!r} lacks {', '.join(missing)}, which {name!r} was grown on: "
                f"use {format_path((*parents[name], name))!r}"
            )
    return tuple(name for name in parents if name in names)


def parse_path(text: str, parents: Parents) -> Path:
    """Parse a path as it is written on the command line.

    Args:
        text: ``"base"``, or names joined by ``+`` or ``,``; a single name means that module's own path.
        parents: as in ``normalise``.

    Returns:
        The path.

    Raises:
        GrowlmError: as in ``normalise``.
    """
    names = parse_names(text)
    if len(names) == 1 and names[0] in parents:
        return own_path(names[0], parents)
    return normalise(names, parents)


def parse_names(text: str) -> tuple[str, ...]:
    """Parse the names of modules as they are written on the command line; ``base`` is not counted."""
    names = (name.strip() for name in text.replace("+", ",").split(","))
    return tuple(name for name in names if name not in ("", BASE))


def joint_path(names: Sequence[str], parents: Parents) -> Path:
    """Return the path of several modules and everything they were grown on.

    Raises:
        GrowlmError: for an unknown name.
    """
    return normalise([module for name in names for module in own_path(name, parents)], parents)


def own_path(name: str, parents: Parents) -> Path:
    """Return the path that ends with a module: what it was grown on, and itself."""
    if name not in parents:
        raise unknown_name("module", name, parents)
    return (*parents[name], name)


def format_path(path: Sequence[str]) -> str:
    """Format a path as ``parse_path`` reads it."""
    return "+".join(path) if path else BASE
