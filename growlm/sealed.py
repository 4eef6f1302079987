"""Sealed JSON: an object with a format version and a digest over the rest of it."""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

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
