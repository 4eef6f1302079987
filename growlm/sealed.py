"""Sealed JSON: an object with a format version and a digest over the rest of it; and types of JSON values."""

import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from growlm.errors import GrowlmError
from growlm.files import render_json


def text_digest(text: str) -> str:
    """Compute the SHA-256 of a text in UTF-8, as hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def json_digest(content: Any) -> str:
    """Compute the SHA-256 of a JSON value whatever its layout: keys sorted, no indentation."""
    return text_digest(json.dumps(content, sort_keys=True, ensure_ascii=False))


def rendered_digest(content: Any) -> str:
    """Compute the SHA-256 of a JSON value as ``render_json`` writes it."""
    return text_digest(render_json(content))


def seal(content: Mapping[str, Any], digest: Callable[[Any], str] = rendered_digest) -> dict[str, Any]:
    """Add a digest over the rest as the last key; ``unseal`` checks it."""
    return {**content, "digest": digest(dict(content))}


def unseal(
    content: Any,
    where: object,
    versions: Collection[int],
    *,
    digest: Callable[[Any], str] = rendered_digest,
    upgrade: str = "upgrade growlm (pip install --upgrade growlm)",
    restore: str = "restore it from a copy",
) -> dict[str, Any]:
    """Check version and digest of sealed JSON.

    Args:
        content: the JSON value.
        where: where it is from, for the messages.
        versions: the values of ``format_version`` that can be read.
        digest: computes the digest of the object without its own.
        upgrade: what to do about another version.
        restore: what to do about a damaged file.

    Returns:
        The object without its digest.

    Raises:
        GrowlmError: if it is not such an object, is of another version, or its digest does not fit.
    """
    if not isinstance(content, dict) or "format_version" not in content:
        raise GrowlmError(f"{where} is not a growlm file: it has no format_version; {restore}")
    version = content["format_version"]
    if type(version) is not int or version not in versions:
        known = " and ".join(map(str, versions))
        raise GrowlmError(f"{where} has format version {version!r}, this growlm reads version {known}: {upgrade}")
    rest = {key: value for key, value in content.items() if key != "digest"}
    if content.get("digest") != digest(rest):
        raise GrowlmError(f"{where} was edited or damaged (its digest does not fit): {restore}")
    return rest


def fits(value: Any, hint: Any) -> bool:
    """Return whether a value read from JSON is of an annotated type.

    Args:
        value: the value; a list is read as a tuple, a whole number as a float.
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
