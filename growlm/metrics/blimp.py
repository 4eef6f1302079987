"""BLiMP (Warstadt et al., 2020, arXiv:1912.00582): is the grammatical sentence of a minimal pair the likelier one?

A sentence is scored by its total log-probability after the start token; the end token is not counted, since a sentence
is not a document. A tie counts as wrong.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growlm.errors import GrowlmError
from growlm.metrics.likelihood import text_nats

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Blimp:
    """Accuracy of one model.

    Args:
        accuracy: mean over the files.
        phenomena: mean over each phenomenon's files.
        files: share of pairs decided rightly, by file.
        pairs: number of pairs.
    """

    accuracy: float
    phenomena: dict[str, float]
    files: dict[str, float]
    pairs: int


def blimp(
    model: Any,
    tokenizer: "PreTrainedTokenizerBase",
    folder: Path,
    batch_size: int = 64,
    limit: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Blimp:
    """Measure a causal language model on every ``.jsonl`` file of a folder.

    Args:
        model: any causal language model whose output has ``logits``.
        tokenizer: its tokenizer.
        folder: the files, 67 in all where the set is complete.
        batch_size: sentences per forward pass.
        limit: greatest number of pairs of each file, from the first on.
        progress: called with the share that is done.

    Returns:
        The accuracies.

    Raises:
        GrowlmError: if the folder holds no file or a file is malformed.
    """
    paths = sorted(path for path in folder.glob("*.jsonl") if path.is_file())
    if not paths:
        raise GrowlmError(f"{folder} holds no .jsonl file: give the folder of BLiMP's files")
    training = model.training
    model.eval()
    files: dict[str, float] = {}
    terms: dict[str, list[float]] = defaultdict(list)
    pairs = 0
    for number, path in enumerate(paths, 1):
        term, sentences = _read(path, limit)
        nats = text_nats(model, tokenizer, sentences, batch_size)
        right = [good < bad for good, bad in zip(nats[::2], nats[1::2], strict=True)]
        files[path.stem] = sum(right) / len(right)
        terms[term].append(files[path.stem])
        pairs += len(right)
        if progress is not None:
            progress(number / len(paths))
    model.train(training)
    phenomena = {term: sum(shares) / len(shares) for term, shares in sorted(terms.items())}
    return Blimp(sum(files.values()) / len(files), phenomena, files, pairs)


def _read(path: Path, limit: int | None) -> tuple[str, list[str]]:
    """Read a file's phenomenon and its sentences, good and bad in turn."""
    sentences: list[str] = []
    term = ""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if limit is not None and number > limit:
                break
            try:
                row = json.loads(line)
                sentences += [str(row["sentence_good"]), str(row["sentence_bad"])]
                term = str(row["linguistics_term"])
            except (ValueError, KeyError, TypeError, RecursionError):
                raise GrowlmError(f"{path}, line {number}: no minimal pair with its linguistics_term") from None
    if not sentences:
        raise GrowlmError(f"{path} holds no pair: restore it or take it out of the folder")
    return term, sentences
