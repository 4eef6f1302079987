"""Batches of encoded examples, in an order that is a function of seed and step alone."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import cast

import torch
from torch import Tensor, nn

from growlm.data.encode import Encoded

IGNORED = -100
_PADDING = -1
_WINDOW = 16
ROW_MULTIPLE = 32


@dataclass(frozen=True)
class Batch:
    """A batch, padded on the right.

    No attention mask goes with it: attention is causal, so padding on the right reaches no token before it, and
    nothing is learned from the padding itself.

    Args:
        input_ids: tokens, [B, T].
        labels: the trained tokens, ``IGNORED`` elsewhere, [B, T].
        num_tokens: how many of the B T tokens are no padding.
        weight: what the batch's mean loss is multiplied by, so that the average over all batches and processes of an
            optimizer step is the mean over that step's trained tokens.
        position_ids: of packed rows, 0 where an example begins, [B, T]; None: every row is one example. A base derives
            a block-diagonal causal mask from them, so that no example sees another.
        num_examples: number of examples; None: one in every row.
        token_numbers: of a phase's own examples, the number of each token among all tokens of the training examples,
            -1 for padding, [B, T].
    """

    input_ids: Tensor
    labels: Tensor
    num_tokens: int
    weight: float = 1.0
    position_ids: Tensor | None = None
    num_examples: int | None = None
    token_numbers: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """Move the batch to a device."""
        positions = None if self.position_ids is None else self.position_ids.to(device)
        return replace(self, input_ids=self.input_ids.to(device), labels=self.labels.to(device), position_ids=positions)


def padded(rows: Sequence[Sequence[int]], fill: int, left: bool = False) -> tuple[Tensor, Tensor]:
    """Pad rows of tokens to the length of the longest.

    Args:
        rows: B rows, each of at least one token.
        fill: what padding is filled with.
        left: pad before the tokens instead of after them.

    Returns:
        The tokens, and 1 for each that is not padding and 0 elsewhere; both [B, T].
    """
    length = max(map(len, rows))
    tokens_BT = torch.full((len(rows), length), fill)
    mask_BT = torch.zeros((len(rows), length), dtype=torch.long)
    for number, row in enumerate(rows):
        place = slice(length - len(row), None) if left else slice(len(row))
        tokens_BT[number, place] = torch.tensor(row)
        mask_BT[number, place] = 1
    return tokens_BT, mask_BT


def length_batches(lengths: Sequence[int], batch_size: int, longest_first: bool = False) -> Iterator[list[int]]:
    """Group rows of like length into batches, to save padding.

    Args:
        lengths: the length of every row.
        batch_size: rows per batch; the last one may have fewer.
        longest_first: from the longest to the shortest, so that a batch that does not fit into memory comes first.

    Yields:
        The numbers of each batch's rows.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row] if longest_first else lengths[row])
    for begin in range(0, len(order), batch_size):
        yield order[begin : begin + batch_size]


def collate(examples: Sequence[Encoded], pad_id: int, first_tokens: Sequence[int] | None = None) -> Batch:
    """Make one batch of examples, each in a row.

    Args:
        examples: the examples.
        pad_id: what the end of a row is filled with.
        first_tokens: the number of each example's first token, if the tokens of the batch are to be numbered.
    """
    input_ids_BT, _ = padded([example.input_ids for example in examples], pad_id)
    is_trained_BT, _ = padded([example.trained for example in examples], 0)
    labels_BT = torch.where(is_trained_BT.bool(), input_ids_BT, IGNORED)
    numbers_BT: Tensor | None = None
    if first_tokens is not None:
        numbers = [range(first, first + len(one.input_ids)) for first, one in zip(first_tokens, examples, strict=True)]
        numbers_BT, _ = padded(numbers, _PADDING)
    num_tokens = sum(len(example.input_ids) for example in examples)
    return Batch(input_ids_BT, labels_BT, num_tokens, token_numbers=numbers_BT)


def pack(examples: Sequence[Encoded], pad_id: int, row_length: int, first_tokens: Sequence[int] | None = None) -> Batch:
    """Make one batch of examples that share rows, none of which sees another.

    Rows are some multiple of 32 tokens long: a CPU's library generates code for each new shape of a matrix product,
    which takes longer than the product, and keeps it.

    Args:
        examples: the examples.
        pad_id: what the end of a row is filled with.
        row_length: tokens of a row, about: rows are as short as the fewest rows of that length allow. There are two at
            least, since compiled code for one row serves no other number.
        first_tokens: see ``collate``.

    Returns:
        The batch, with ``position_ids``; the losses of its trained tokens are those of ``collate`` up to rounding.
    """
    lengths = [len(example.input_ids) for example in examples]
    row_length = max(row_length, *lengths)
    num_rows = max(len(best_fit(lengths, row_length)), min(2, len(examples)))
    shortest = -(-max(-(-sum(lengths) // num_rows), *lengths) // ROW_MULTIPLE) * ROW_MULTIPLE
    width, rows = next(
        (length, rows)
        for length in range(shortest, row_length + ROW_MULTIPLE, ROW_MULTIPLE)
        if len(rows := best_fit(lengths, length)) <= num_rows
    )
    input_ids_BT = torch.full((len(rows), width), pad_id)
    labels_BT = torch.full((len(rows), width), IGNORED)
    positions_BT = torch.zeros(len(rows), width, dtype=torch.long)
    numbers_BT = None if first_tokens is None else torch.full((len(rows), width), _PADDING)
    for number, row in enumerate(rows):
        begin = 0
        for index in row:
            tokens = torch.tensor(examples[index].input_ids)
            trained = torch.tensor(examples[index].trained)
            trained[0] = False  # nothing of its own example comes before it
            end = begin + len(tokens)
            input_ids_BT[number, begin:end] = tokens
            labels_BT[number, begin:end] = torch.where(trained, tokens, IGNORED)
            positions_BT[number, begin:end] = torch.arange(len(tokens))
            if numbers_BT is not None and first_tokens is not None:
                numbers_BT[number, begin:end] = first_tokens[index] + torch.arange(len(tokens))
            begin = end
        positions_BT[number, begin:] = torch.arange(width - begin)
    return Batch(
        *(input_ids_BT, labels_BT, sum(lengths)),
        position_ids=positions_BT,
        num_examples=len(examples),
        token_numbers=numbers_BT,
    )


def best_fit(lengths: Sequence[int], row_length: int) -> list[list[int]]:
    """Pack pieces into rows: each, long ones first, into the row in which it leaves the least room.

    Args:
        lengths: lengths of the pieces, none greater than a row's.
        row_length: capacity of a row.

    Returns:
        For each row the indices of its pieces.
    """
    rows: list[list[int]] = []
    rows_by_room: defaultdict[int, list[int]] = defaultdict(list)
    rooms = 0  # bit r is set if some row has room for exactly r tokens more
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        length = lengths[index]
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = rows_by_room[room].pop()
            if not rows_by_room[room]:
                rooms &= ~(1 << room)
        else:
            room, row = row_length, len(rows)
            rows.append([])
        rows[row].append(index)
        left = room - length
        if left:
            rows_by_room[left].append(row)
            rooms |= 1 << left
    return rows


def join(first: Batch, second: Batch, pad_id: int) -> Batch:
    """Append the rows of a second batch to those of a first; the shorter rows are padded."""
    length = max(first.input_ids.shape[1], second.input_ids.shape[1])

    def joined(parts: tuple[Tensor, Tensor], padding: int) -> Tensor:
        return torch.cat([nn.functional.pad(rows, (0, length - rows.shape[1]), value=padding) for rows in parts])

    return Batch(
        joined((first.input_ids, second.input_ids), pad_id),
        joined((first.labels, second.labels), IGNORED),
        first.num_tokens + second.num_tokens,
        first.weight,
    )


class StepBatches:
    """The batch of every step of a phase, as a function of the step.

    Within an epoch every example comes once; examples of like length share a batch, to save padding.

    Args:
        examples: the encoded training examples.
        batch_size: examples per step, B.
        seed: seed of the order.
        pad_id: what padding is filled with.
        row_length: pack the examples of a batch into rows of about that many tokens; None: one example a row.
        curriculum: how far the first epoch goes from examples with few trained tokens to those with many, from 0 (its
            order is random) to 1 (sorted); see ``epoch_order``.
    """

    def __init__(
        self,
        examples: Sequence[Encoded],
        batch_size: int,
        seed: int,
        pad_id: int,
        row_length: int | None = None,
        curriculum: float = 0.0,
    ) -> None:
        self.examples = examples
        self.batch_size = min(batch_size, len(examples))
        self.seed = seed
        self.pad_id = pad_id
        self.row_length = row_length
        self.curriculum = curriculum
        self._rank, self._world_size, self._batches_per_step = 0, 1, 1
        self._epoch = -1
        self._order: list[list[int]] = []
        self._first_tokens = torch.tensor([0, *accumulate(len(example.input_ids) for example in examples)])

    @property
    def num_tokens(self) -> int:
        """Tokens of all examples."""
        return int(self._first_tokens[-1])

    @property
    def mean_tokens(self) -> float:
        """Mean number of tokens of a batch, padding left out."""
        return self.batch_size * self.num_tokens / len(self.examples)

    def split(self, rank: int, world_size: int, batches_per_step: int = 1) -> "StepBatches":
        """Return one process's rows of every batch, weighted by the trained tokens of the optimizer step.

        Args:
            rank: which of the processes.
            world_size: number of processes.
            batches_per_step: batches whose gradients are accumulated for one optimizer step.
        """
        split = StepBatches(self.examples, self.batch_size, self.seed, self.pad_id, self.row_length, self.curriculum)
        split._rank, split._world_size, split._batches_per_step = rank, world_size, batches_per_step
        return split

    def __call__(self, index: int) -> Batch:
        """Build the batch of an index: with one batch per step, that of the step."""
        rows = self._rows(index)[self._rank :: self._world_size]
        batch = self.of_rows(rows)
        averaged = self._batches_per_step * self._world_size
        if averaged == 1:
            return batch
        first = index - index % self._batches_per_step
        step = [row for number in range(self._batches_per_step) for row in self._rows(first + number)]
        return replace(batch, weight=averaged * self._num_trained(rows) / self._num_trained(step))

    def of_rows(self, rows: Sequence[int]) -> Batch:
        """Build a batch of some examples.

        Args:
            rows: numbers of the examples.
        """
        examples = [self.examples[row] for row in rows]
        first_tokens = self._first_tokens[list(rows)].tolist()
        if self.row_length is None:
            return collate(examples, self.pad_id, first_tokens)
        return pack(examples, self.pad_id, self.row_length, first_tokens)

    def tokens_of(self, rows: Sequence[int]) -> Tensor:
        """Return the numbers of all tokens of some examples, [N]."""
        firsts, ends = self._first_tokens[list(rows)].tolist(), self._first_tokens[[row + 1 for row in rows]].tolist()
        return torch.cat([torch.arange(first, end) for first, end in zip(firsts, ends, strict=True)])

    def rows_with(self, token_numbers: Tensor) -> list[int]:
        """Return the examples that some tokens belong to.

        Args:
            token_numbers: as in ``Batch.token_numbers``, of any shape.
        """
        tokens_N = token_numbers[token_numbers != _PADDING]
        rows_N = torch.bucketize(tokens_N, self._first_tokens[1:-1], right=True)
        return cast("list[int]", rows_N.unique().tolist())

    def _rows(self, index: int) -> list[int]:
        epoch, position = divmod(index, len(self.examples) // self.batch_size)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self.epoch_order(epoch)
        return self._order[position]

    def _num_trained(self, rows: Sequence[int]) -> int:
        return sum(sum(self.examples[row].trained[1:]) for row in rows)

    def epoch_order(self, epoch: int) -> list[list[int]]:
        """List the examples of each batch of an epoch; a remainder smaller than a batch is left out.

        With a curriculum (Bengio et al. 2009, "Curriculum learning") the first epoch is sorted by a weighted mean of an
        example's place among those of fewer trained tokens and its place in the random order. An answer's length is how
        hard it is for any data, as a sentence's is in Platanios et al. 2019, arXiv 1903.09848.
        """
        generator = random.Random(f"{self.seed}/{epoch}")
        indices = list(range(len(self.examples)))
        generator.shuffle(indices)
        if sorted_share := self.curriculum if epoch == 0 else 0.0:
            indices = self._easy_first(indices, sorted_share)
        window = _WINDOW * self.batch_size
        windows: list[list[list[int]]] = []
        for begin in range(0, len(indices), window):
            alike = sorted(indices[begin : begin + window], key=lambda index: len(self.examples[index].input_ids))
            batches = [alike[i : i + self.batch_size] for i in range(0, len(alike), self.batch_size)]
            windows.append([batch for batch in batches if len(batch) == self.batch_size])
        shuffled = windows if sorted_share else [[batch for batches in windows for batch in batches]]
        for batches in shuffled:
            generator.shuffle(batches)
        return [batch for batches in shuffled for batch in batches]

    def _easy_first(self, indices: Sequence[int], sorted_share: float) -> list[int]:
        """Sort a random order by answers' lengths, as far as the share says."""
        easiest_first = sorted(indices, key=lambda index: self._num_trained([index]))
        rank = {index: place for place, index in enumerate(easiest_first)}
        place = {index: place for place, index in enumerate(indices)}
        return sorted(indices, key=lambda i: sorted_share * rank[i] + (1 - sorted_share) * place[i])
