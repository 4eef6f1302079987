"""A smoothed 5-gram to compare bases with: interpolated modified Kneser-Ney (Chen & Goodman, 1998) over tokens.

Everything is an array: the n-gram that ends at a position has as its id the rank of (id of its first n - 1 tokens,
last token) among all that occur, so that no n-gram is ever spelled out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Order:
    """Counts of one order n.

    Args:
        keys: sorted (context id * vocabulary + token) of the n-grams, whose ranks are their ids.
        counts: how often each n-gram comes (highest order), or in how many contexts (below).
        totals: sum of the counts after each context.
        backoff: probability mass that each context leaves to the order below.
        discounts: what is taken from a count of 1, 2, and more; [0] is 0.
    """

    keys: Ints
    counts: Ints
    totals: Ints
    backoff: Floats
    discounts: Floats


class NGram:
    """An n-gram model of documents.

    Args:
        documents: token ids of the documents, without start and end tokens.
        vocab_size: number of tokens.
        end: the token that begins and ends a document.
        order: n.
    """

    def __init__(self, documents: Sequence[Sequence[int]], vocab_size: int, end: int, order: int = 5) -> None:
        self.vocab_size, self.end, self.order = vocab_size, end, order
        tokens, predicted = self._stream(documents)
        ids, keys = self._number(tokens)
        self._orders: list[_Order] = []
        counts = np.bincount(ids[order][predicted], minlength=len(keys[order]))
        for n in range(order, 0, -1):
            contexts = len(keys[n - 1]) if n > 1 else 1
            self._orders.insert(0, self._count(keys[n], counts, contexts))
            if n > 1:
                # a lower order counts the distinct n-grams that end in one of its own
                seen = np.flatnonzero(counts)
                suffix = self._suffixes(ids[n], ids[n - 1], len(keys[n]))
                counts = np.bincount(suffix[seen], minlength=len(keys[n - 1]))

    def bits(self, documents: Sequence[Sequence[int]]) -> float:
        """Compute -log2 of the probability of all documents with their ends."""
        tokens, predicted = self._stream(documents)
        probability = np.full(len(tokens), 1.0 / self.vocab_size)
        context = np.zeros(len(tokens), np.int64)  # id of the n - 1 tokens before, -1 if they never came
        for n, counted in enumerate(self._orders, 1):
            gram, known = _look_up(counted.keys, context, tokens, self.vocab_size)
            count = np.where(known, counted.counts[gram], 0)
            total = np.where(context >= 0, counted.totals[context], 0)
            kept = (count - counted.discounts[np.minimum(count, 3)]) / np.maximum(total, 1)
            probability = np.where(total > 0, kept + counted.backoff[context] * probability, probability)
            if n < self.order:
                context = self._shift(np.where(known, gram, -1))
        return float(-np.log2(probability[predicted]).sum())

    def _stream(self, documents: Sequence[Sequence[int]]) -> tuple[Ints, NDArray[np.bool_]]:
        """Join documents; each follows order - 1 end tokens that nobody predicts."""
        before = [self.end] * (self.order - 1)
        tokens = np.concatenate([np.array([*before, *document, self.end], np.int64) for document in documents])
        predicted = np.concatenate([np.arange(len(document) + self.order) >= self.order - 1 for document in documents])
        return tokens, predicted

    def _number(self, tokens: Ints) -> tuple[dict[int, Ints], dict[int, Ints]]:
        ids: dict[int, Ints] = {}
        keys: dict[int, Ints] = {}
        context = np.zeros(len(tokens), np.int64)
        for n in range(1, self.order + 1):
            keys[n], ids[n] = np.unique(context * self.vocab_size + tokens, return_inverse=True)
            context = self._shift(ids[n])
        return ids, keys

    def _shift(self, ids: Ints) -> Ints:
        """Turn the n-grams that end at each position into the contexts of the positions after them."""
        return np.concatenate([ids[:1], ids[:-1]])

    def _suffixes(self, longer: Ints, shorter: Ints, count: int) -> Ints:
        suffix = np.zeros(count, np.int64)
        suffix[longer] = shorter
        return suffix

    def _count(self, keys: Ints, counts: Ints, num_contexts: int) -> _Order:
        context = keys // self.vocab_size
        totals = np.bincount(context, counts, num_contexts).astype(np.int64)
        discounts = _discounts(np.bincount(counts[counts <= 4], minlength=5).tolist())
        taken = np.bincount(context, discounts[np.minimum(counts, 3)], num_contexts)
        return _Order(keys, counts, totals, taken / np.maximum(totals, 1), discounts)


def _discounts(of_counts: list[int]) -> Floats:
    """Compute what counts of 0, 1, 2 and more lose, from how many n-grams have a count of 0, 1, 2, 3, 4."""
    if not all(of_counts[1:]):  # too little text for the estimate
        return np.array([0.0, 0.5, 1.0, 1.5])
    ratio = of_counts[1] / (of_counts[1] + 2 * of_counts[2])
    return np.array([0.0, *(c - (c + 1) * ratio * of_counts[c + 1] / of_counts[c] for c in (1, 2, 3))])


def _look_up(keys: Ints, context: Ints, tokens: Ints, vocab_size: int) -> tuple[Ints, NDArray[np.bool_]]:
    wanted = context * vocab_size + tokens
    position = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return position, (context >= 0) & (keys[position] == wanted)
