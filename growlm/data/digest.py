"""The digest of a split's examples: what a record says of the data that a module was trained and scored on."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping

from growlm.data.example import Example

_NEWER: Mapping[str, object] = {"cut": "", "max_prompt": None, "tools": ""}
_NEWER_OF_MESSAGES: Mapping[str, object] = {"sort": "", "trained": True, "extra": ""}
"""Fields that version 0.1.0 did not have: with these values they are left out, so that its digests hold."""


class ExamplesDigest:
    """The SHA-256 of examples, added up one by one."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def reading(self, examples: Iterable[Example]) -> Iterator[Example]:
        """Add examples as they are read, so that a large split is read once.

        Args:
            examples: the examples of a split, in their order.

        Yields:
            The same examples, each after it was added.
        """
        for example in examples:
            content = _without(vars(example), _NEWER)
            content["messages"] = [_without(vars(message), _NEWER_OF_MESSAGES) for message in example.messages]
            self._sha256.update(json.dumps(content, ensure_ascii=False).encode())
            self._sha256.update(b"\n")
            yield example

    def hexdigest(self) -> str:
        """Return the digest of the examples so far, as hex."""
        return self._sha256.hexdigest()


def _without(content: Mapping[str, object], defaults: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in content.items() if key not in defaults or value != defaults[key]}
