"""The tokens of a text source as a memory map that is written once."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from growlm.errors import GrowlmError
from growlm.files import atomic_path, cache_folder, read_json, write_json
from growlm.pretrain.source import TextSource

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CHUNK_DOCUMENTS = 4_096


@dataclass(frozen=True)
class EncodedText:
    """A source's tokens, each document after one ``<|endoftext|>``, one more of which ends it all.

    Args:
        tokens: token ids, memory-mapped, [N].
        starts: where each document's ``<|endoftext|>`` is; one more entry tells the end, [D + 1].
        num_bytes: UTF-8 bytes of the documents.
        digest: SHA-256 of the source.
    """

    tokens: NDArray[np.uint16]
    starts: NDArray[np.int64]
    num_bytes: int
    digest: str


def encode_source(source: TextSource, tokenizer: "PreTrainedTokenizerBase", cache: Path | None = None) -> EncodedText:
    """Encode a source, or map what an earlier call wrote for the same text and tokenizer.

    Args:
        source: the text.
        tokenizer: the tokenizer; its vocabulary must fit into 16 bits.
        cache: where the memory maps are kept; ``cache_folder()`` if left out.

    Returns:
        The encoded text.

    Raises:
        GrowlmError: if the source is missing, malformed or empty, or the vocabulary is too large.
    """
    if len(tokenizer) > 2**16:
        raise GrowlmError(f"the tokenizer has {len(tokenizer)} entries: at most 65,536 are supported here")
    folder = cache or cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    digest = source.digest()
    vocabulary = tokenizer.backend_tokenizer.to_str()
    key = hashlib.sha256(f"{digest} {vocabulary}".encode()).hexdigest()[:24]
    tokens_path, starts_path = folder / f"text-{key}.tokens", folder / f"text-{key}.starts"
    summary_path = folder / f"text-{key}.json"
    if not summary_path.exists():  # written last
        num_bytes = _write_tokens(source, tokenizer, tokens_path, starts_path)
        write_json(summary_path, {"source": source.name, "num_bytes": num_bytes})
    return EncodedText(
        np.memmap(tokens_path, np.uint16, "r"),
        np.fromfile(starts_path, np.int64),
        int(read_json(summary_path)["num_bytes"]),
        digest,
    )


def _write_tokens(source: TextSource, tokenizer: "PreTrainedTokenizerBase", tokens: Path, starts: Path) -> int:
    end = tokenizer.eos_token_id
    offsets, position, num_bytes = [0], 0, 0
    with atomic_path(tokens) as temporary, temporary.open("wb") as handle:
        for chunk in _chunks(source.documents()):
            num_bytes += sum(len(text.encode()) for text in chunk)
            for ids in tokenizer(chunk, add_special_tokens=False, verbose=False)["input_ids"]:
                np.array([end, *ids], np.uint16).tofile(handle)
                position += 1 + len(ids)
                offsets.append(position)
        np.array([end], np.uint16).tofile(handle)
    if len(offsets) == 1:
        raise GrowlmError(f"{source.name} holds no text: give a file with at least one document")
    with atomic_path(starts) as temporary:
        np.array(offsets, np.int64).tofile(temporary)
    return num_bytes


def _chunks(documents: Iterator[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for document in documents:
        chunk.append(document)
        if len(chunk) == _CHUNK_DOCUMENTS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
