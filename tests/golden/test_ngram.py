"""The 5-gram of benchmarks/: a proper distribution that agrees with counts by hand."""

import math
from itertools import product
from typing import Any

import pytest

from tests.golden.conftest import load_benchmark


@pytest.fixture(scope="module")
def ngram() -> Any:
    return load_benchmark("ngram")


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_the_probabilities_of_all_documents_sum_to_one(ngram: Any, order: int) -> None:
    documents = [[1], [1, 2], [2], [2], [], [1, 1], [2, 1]]
    model = ngram.NGram(documents, 3, 0, order)
    shorter, longer = (
        sum(2 ** -model.bits([document]) for n in range(limit) for document in product((1, 2), repeat=n))
        for limit in (6, 11)
    )
    assert shorter < longer <= 1 + 1e-9
    assert longer == pytest.approx(1, abs=0.02)


def test_a_bigram_by_hand(ngram: Any) -> None:
    model = ngram.NGram([[1, 2], [1, 2], [1, 1]], 3, 0, 2)
    # bigrams: 0 1 (3), 1 2 (2), 2 0 (2), 1 1 (1), 1 0 (1); so little text loses 0.5, 1, 1.5 of counts 1, 2, 3
    # distinct tokens before 0, 1, 2: 2, 2, 1
    backoff = (1 + 1 + 0.5) / 5
    unigram = [(2 - 1) / 5 + backoff / 3, (2 - 1) / 5 + backoff / 3, (1 - 0.5) / 5 + backoff / 3]
    after_0 = (3 - 1.5) / 3 + 1.5 / 3 * unigram[1]
    after_1 = (2 - 1) / 4 + (1 + 0.5 + 0.5) / 4 * unigram[2]
    after_2 = (2 - 1) / 2 + 1 / 2 * unigram[0]
    assert model.bits([[1, 2]]) == pytest.approx(-math.log2(after_0 * after_1 * after_2))


def test_what_was_seen_is_likelier_than_what_was_not(ngram: Any) -> None:
    model = ngram.NGram([[1, 2, 3, 4]] * 3 + [[4, 3]], 6, 0, 5)
    assert model.bits([[1, 2, 3, 4]]) < model.bits([[1, 2, 4, 3]]) < model.bits([[5, 5, 5, 5]]) < math.inf


def test_discounts_by_the_formula(ngram: Any) -> None:
    # y = 8 / (8 + 2 * 4) = 1/2
    expected = [0, 1 - 2 * 0.5 * 4 / 8, 2 - 3 * 0.5 * 2 / 4, 3 - 4 * 0.5 * 1 / 2]
    assert ngram._discounts([9, 8, 4, 2, 1]).tolist() == pytest.approx(expected)
