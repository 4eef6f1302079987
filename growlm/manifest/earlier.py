"""What undo needs: the files at the top of a stack's folder as they were before a module.

``before/`` of a module's folder holds ``state.json``, which names those files with their digests, and of the files only
what the module's phase changed and nothing else holds: a copy of ``config.json`` if a layer was inserted, the router as
its difference from the next one. The card and the accuracy matrices are rendered from the manifest.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from growlm.errors import GrowlmError
from growlm.files import parse_json, read_bytes, render_json
from growlm.manifest.card import accuracy_json, stack_card
from growlm.manifest.manifest import MAX_FILE_BYTES, BaseRecord, Manifest
from growlm.manifest.own_files import ACCURACY_FILE, BEFORE, CARD_FILE, DELTA, STATE_FILE, TOP_FILES, TRANSFORMERS_FILES
from growlm.sealed import seal, unseal

FORMAT_VERSION = 1
MAX_TOP_BYTES = 1 << 32
RENDERED: dict[str, Callable[[Manifest], str]] = {CARD_FILE: stack_card, ACCURACY_FILE: accuracy_json}

Top = Mapping[str, bytes]
"""Content of the files at the top of a stack's folder by name, ``stack.json`` excepted."""


@dataclass(frozen=True)
class EarlierState:
    """The stack before a module.

    Args:
        base: source, model type, number of parameters and digest of the base.
        files: SHA-256 of the files at the top of the folder, by name.
    """

    base: dict[str, str | int]
    files: dict[str, str]


def digest_of(content: bytes) -> str:
    """Compute the SHA-256 of a file's content, as hex."""
    return hashlib.sha256(content).hexdigest()


def state_json(base: BaseRecord, top: Top) -> bytes:
    """Render ``state.json``."""
    content = {
        "format_version": FORMAT_VERSION,
        "base": {
            "source": base.source,
            "model_type": base.model_type,
            "parameters": base.parameters,
            "digest": base.digest,
        },
        "files": {name: digest_of(content) for name, content in sorted(top.items())},
    }
    return render_json(seal(content)).encode()


def read_state(module_folder: Path) -> EarlierState:
    """Read a module's ``before/state.json``.

    Raises:
        GrowlmError: if it is missing, was edited or is damaged.
    """
    path = module_folder / BEFORE / STATE_FILE
    content = unseal(parse_json(read_bytes(path, MAX_FILE_BYTES), path), path, (FORMAT_VERSION,))
    base, files = content.get("base"), content.get("files")
    if (
        not isinstance(files, dict)
        or not all(name in (*TOP_FILES, *TRANSFORMERS_FILES) and isinstance(files[name], str) for name in files)
        or not isinstance(base, dict)
        or set(base) != {"source", "model_type", "parameters", "digest"}
    ):
        raise GrowlmError(f"{path} does not have the fields of a state: restore it from a copy")
    return EarlierState(base, files)


def kept_files(earlier: Manifest, old: Top, new: Top) -> dict[str, bytes]:
    """Return what ``before/`` of a module has to hold.

    Args:
        earlier: the manifest before the module.
        old: the files at the top before the module.
        new: those after it.

    Returns:
        Content by file name.
    """
    kept = {STATE_FILE: state_json(earlier.base, old)}
    for name, content in old.items():
        if content == new.get(name) or (name in RENDERED and content == RENDERED[name](earlier).encode()):
            continue
        difference = encode_difference(content, new[name]) if name in new else None
        if difference is not None and len(difference) < len(content):
            kept[name + DELTA] = difference
        else:
            kept[name] = content
    return kept


def restored_files(module_folder: Path, state: EarlierState, earlier: Manifest, new: Top) -> dict[str, bytes]:
    """Rebuild the files at the top as they were before a module, and check them.

    Args:
        module_folder: the module's folder.
        state: its earlier state.
        earlier: the manifest before the module.
        new: the files at the top after the module.

    Returns:
        The files at the top before it.

    Raises:
        GrowlmError: if one is missing, was edited or is damaged.
    """
    old: dict[str, bytes] = {}
    for name, digest in state.files.items():
        kept = module_folder / BEFORE / name
        difference = kept.with_name(name + DELTA)
        if kept.exists():
            old[name] = read_bytes(kept, MAX_TOP_BYTES)
        elif difference.exists():
            old[name] = decode_difference(read_bytes(difference, MAX_TOP_BYTES), new.get(name, b""), difference)
        elif name in RENDERED:
            old[name] = RENDERED[name](earlier).encode()
            continue  # a later growlm may word it otherwise
        elif name in new:
            old[name] = new[name]
        elif name in TRANSFORMERS_FILES:
            continue  # the user edited or removed it
        if digest_of(old.get(name, b"")) != digest:
            raise GrowlmError(f"{kept} is missing or was edited or damaged: restore it from a copy")
    return old


def encode_difference(old: bytes, new: bytes) -> bytes | None:
    """Encode a safetensors file by what it shares with another.

    Args:
        old: the file to be encoded.
        new: the file that is at hand when it is decoded.

    Returns:
        ``decode_difference`` turns it and ``new`` into ``old``; None if one of them is not a safetensors file.
    """
    try:
        shared = {digest_of(new[start:end]): start for start, end in _tensor_spans(new)}
        spans = _tensor_spans(old)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    segments: list[list[int]] = []  # [start in new, length], or [length] of what follows here
    literals, position = bytearray(), 0
    for start, end in [*spans, (len(old), len(old))]:
        if start > position:
            segments.append([start - position])
            literals += old[position:start]
        found = shared.get(digest_of(old[start:end]))
        if found is None:
            segments.append([end - start])
            literals += old[start:end]
        else:
            segments.append([found, end - start])
        position = end
    return zlib.compress(json.dumps(segments).encode() + b"\n" + literals, 9)


def decode_difference(encoded: bytes, new: bytes, path: Path) -> bytes:
    """Decode what ``encode_difference`` returned.

    Args:
        encoded: the encoded file.
        new: the other file.
        path: where the encoded file is, for the message.

    Raises:
        GrowlmError: if it is damaged.
    """
    old = bytearray()
    try:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(encoded, MAX_TOP_BYTES)
        head, _, literals = plain.partition(b"\n")
        position = 0
        for segment in json.loads(head):
            length = segment[-1]
            source, start = (new, segment[0]) if len(segment) == 2 else (literals, position)
            position += length if len(segment) == 1 else 0
            old += source[start : start + length]
    except (zlib.error, ValueError, TypeError, IndexError, KeyError, RecursionError) as error:
        raise GrowlmError(f"{path} is damaged ({error}): restore it from a copy") from None
    return bytes(old)


def _tensor_spans(content: bytes) -> list[tuple[int, int]]:
    """Return where the tensors of a safetensors file begin and end, in order."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    start = 8 + size
    spans = sorted(entry["data_offsets"] for name, entry in header.items() if name != "__metadata__")
    return [(start + first, start + last) for first, last in spans if last > first]
