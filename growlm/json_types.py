"""Whether a value read from JSON is of an annotated type."""

import math
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin


def fits(value: Any, hint: Any) -> bool:
    """Return whether a value read from JSON is of an annotated type.

    Args:
        value: the value; a list stands for a tuple, a whole number for a float.
        hint: a plain type, ``Any``, ``dict[str, X]``, ``list[X]``, ``tuple[X, ...]``, or a union of such.
    """
    if hint is Any:
        return True
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in arguments)
    if hint in (None, NoneType):
        return value is None
    if not arguments:
        if hint is float:
            return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    if origin is dict:
        return isinstance(value, dict) and all(fits(item, arguments[1]) for item in value.values())
    return isinstance(value, list | tuple) and all(fits(item, arguments[0]) for item in value)
