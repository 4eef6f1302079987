"""Bits per byte by position: how far into a text a base still gains from what it has read.

``python benchmarks/positions.py data/books/books.jsonl --skip_bytes 2000000 [--bases '[mini,tinystories-50m]']``

Long documents are cut into windows of as many tokens as the longest position asked for, each read after the start token
as in training. Windows begin anywhere, so every position meets the same kind of text: where a base's positions are
trained the bits fall with the position or stay, where they are not they rise.
"""

import math
import sys
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
from jsonargparse import auto_cli

from growlm.base.load import load_base, load_tokenizer
from growlm.files import write_json
from growlm.pretrain.source import TextSource

EDGES = (0, 128, 256, 512, 768, 1_024)


def main(
    text: str,
    bases: list[str] | None = None,
    skip_bytes: int = 0,
    windows: int = 64,
    threads: int | None = None,
    out: str | None = None,
) -> None:
    """Measure bases and print a table.

    Args:
        text: a file of documents that no base was trained on, ``.jsonl`` or text.
        bases: names or folders; the shipped ones if left out.
        skip_bytes: leave out the first documents, as many as begin within this number of bytes.
        windows: how many windows are read.
        threads: CPU threads.
        out: a JSON file for the results.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    results = {name: measure(name, text, skip_bytes, windows) for name in bases or ["nano", "mini", "tinystories-50m"]}
    sys.stdout.write("| base | " + " | ".join(f"{low} to {high - 1}" for low, high in pairwise(EDGES)) + " |\n")
    sys.stdout.write("|---" * len(EDGES) + "|\n")
    for name, bits in results.items():
        sys.stdout.write(f"| `{name}` | " + " | ".join(f"{value:.3f}" for value in bits) + " |\n")
    if out is not None:
        write_json(Path(out), {"text": text, "edges": list(EDGES), "windows": windows, "bits_per_byte": results})


@torch.inference_mode()
def measure(base: str, text: str, skip_bytes: int, windows: int) -> list[float]:
    """Measure one base.

    Returns:
        Bits per byte of the tokens whose positions lie between two neighbours of ``EDGES``.
    """
    model, tokenizer = load_base(base), load_tokenizer(base)
    nats = torch.zeros(EDGES[-1], dtype=torch.float64)
    num_bytes = torch.zeros(EDGES[-1], dtype=torch.float64)
    for ids in islice(_windows(tokenizer, text, skip_bytes), windows):
        tokens = torch.tensor([[tokenizer.bos_token_id, *ids]])
        logits: Any = model(tokens[:, :-1], use_cache=False).logits[0]
        nats += torch.nn.functional.cross_entropy(logits.float(), tokens[0, 1:], reduction="none").double()
        # a piece of a byte-level tokenizer has a character for each byte
        pieces = tokenizer.convert_ids_to_tokens(ids)
        num_bytes += torch.tensor([len(piece) for piece in pieces], dtype=torch.float64)
    return [float(nats[low:high].sum() / num_bytes[low:high].sum() / math.log(2)) for low, high in pairwise(EDGES)]


def _windows(tokenizer: Any, text: str, skip_bytes: int) -> Iterator[list[int]]:
    read = 0
    for document in TextSource(path=text).documents():
        read += len(document.encode())
        if read > skip_bytes:
            ids: list[int] = tokenizer(document, add_special_tokens=False, verbose=False)["input_ids"]
            # the first of a book is its title and contents
            yield from (ids[i : i + EDGES[-1]] for i in range(EDGES[-1], len(ids) - EDGES[-1] + 1, EDGES[-1]))


if __name__ == "__main__":
    auto_cli(main)
