"""Documents packed into rows of equal length, none of which can see another.

A row holds several documents; positions begin again at 0 with each, from which transformers derives a block-diagonal
causal mask as long as neither an attention mask nor a cache is given (``use_cache=False``). The last token of a
document predicts ``<|endoftext|>``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from growlm.data.batches import IGNORED, best_fit
from growlm.pretrain.text import EncodedText


@dataclass(frozen=True)
class Piece:
    """A document, or a part of one that is longer than a row.

    Args:
        source: index of the source.
        start: position of its first token in the source.
        length: number of tokens.
    """

    source: int
    start: int
    length: int


@dataclass(frozen=True)
class PackedBatch:
    """Rows to train on.

    Args:
        input_ids: tokens, [B, T].
        labels: for each token the one that follows it in its document, ``IGNORED`` for padding, [B, T].
        position_ids: positions, 0 where a document (or the part of one) begins, [B, T].
    """

    input_ids: Tensor
    labels: Tensor
    position_ids: Tensor

    @property
    def num_tokens(self) -> int:
        """Tokens that are trained, padding left out."""
        return int((self.labels != IGNORED).sum())

    def split(self, rows: int) -> list["PackedBatch"]:
        """Split the batch into parts with a limited number of rows."""
        parts = zip(self.input_ids.split(rows), self.labels.split(rows), self.position_ids.split(rows), strict=True)
        return [PackedBatch(*part) for part in parts]

    def to(self, device: torch.device) -> "PackedBatch":
        """Move the batch to a device."""
        return PackedBatch(self.input_ids.to(device), self.labels.to(device), self.position_ids.to(device))


class PackedRows:
    """Rows of a mixture of sources, in an order that is a function of seed and step alone.

    Args:
        texts: the encoded sources.
        repeats: passes over each source per epoch, one number for each.
        row_length: tokens per row, T.
        rows_per_step: rows per step, B.
        pad_id: what the end of a row is filled with.
        seed: seed of the order.
    """

    def __init__(
        self,
        texts: Sequence[EncodedText],
        repeats: Sequence[float],
        row_length: int,
        rows_per_step: int,
        pad_id: int,
        seed: int,
    ) -> None:
        self.texts = texts
        self.row_length = row_length
        self.rows_per_step = rows_per_step
        self.pad_id = pad_id
        self.seed = seed
        self._repeats = repeats
        self._epoch = -1
        self._first_row = 0
        self._rows: list[list[Piece]] = []

    def batch(self, step: int) -> PackedBatch:
        """Build the batch of a step."""
        first = step * self.rows_per_step
        return stack_rows([self._render(self._row(first + i)) for i in range(self.rows_per_step)])

    def _row(self, index: int) -> list[Piece]:
        if index < self._first_row:
            self._epoch, self._first_row, self._rows = -1, 0, []
        while index >= self._first_row + len(self._rows):
            self._first_row += len(self._rows)
            self._epoch += 1
            self._rows = self._pack_epoch(self._epoch)
        return self._rows[index - self._first_row]

    def _pack_epoch(self, epoch: int) -> list[list[Piece]]:
        random = np.random.default_rng([self.seed, epoch])
        pieces: list[Piece] = []
        for source, (text, repeat) in enumerate(zip(self.texts, self._repeats, strict=True)):
            for document in _choose(len(text.starts) - 1, repeat, random):
                start, end = int(text.starts[document]), int(text.starts[document + 1])
                pieces += [
                    Piece(source, begin, min(self.row_length, end - begin))
                    for begin in range(start, end, self.row_length)
                ]
        shuffled = [pieces[i] for i in random.permutation(len(pieces))]
        rows = best_fit([piece.length for piece in shuffled], self.row_length)
        return [[shuffled[i] for i in rows[row]] for row in random.permutation(len(rows))]

    def _render(self, pieces: list[Piece]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        tokens = np.full(self.row_length, self.pad_id, np.int64)
        labels = np.full(self.row_length, IGNORED, np.int64)
        positions = np.arange(self.row_length)
        begin = 0
        for piece in pieces:
            end = begin + piece.length
            ids = self.texts[piece.source].tokens[piece.start : piece.start + piece.length + 1]
            tokens[begin:end] = ids[:-1]
            labels[begin:end] = ids[1:]
            positions[begin:] = np.arange(self.row_length - begin)
            begin = end
        return tokens, labels, positions


def stack_rows(rows: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]) -> PackedBatch:
    """Stack rows of tokens, labels and positions to a batch."""
    tokens, labels, positions = (torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True))
    return PackedBatch(tokens, labels, positions)


def _choose(num_documents: int, repeat: float, random: np.random.Generator) -> list[int]:
    whole, share = int(repeat), repeat - int(repeat)
    extra = random.permutation(num_documents)[: round(share * num_documents)]
    return [*list(range(num_documents)) * whole, *extra.tolist()]
