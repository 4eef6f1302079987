"""SARI against a published score, an independent implementation, and what was worked out by hand."""

import random
from collections.abc import Sequence

import pytest

from growlm.metrics.sari import sari


def test_the_published_example():
    """The example in the documentation of the ``evaluate`` library: 26.953601953601954 of 100."""
    source = ["about", "95", "species", "are", "currently", "accepted", "."]
    output = ["about", "95", "you", "now", "get", "in", "."]
    references = [
        ["about", "95", "species", "are", "currently", "known", "."],
        ["about", "95", "species", "are", "now", "accepted", "."],
        ["95", "species", "are", "now", "accepted", "."],
    ]
    assert sari(source, output, references) == pytest.approx(0.26953601953601954, abs=1e-15)


def test_one_word_by_hand():
    """Source ``a b``, output ``a c``, reference ``a d``.

    Single words: keep ``a``, right: 1. Deleted ``b``, right: 1. Added ``c``, ``d`` wanted: 0.
    Pairs: nothing is kept or to be kept: 1. Deleted ``a b``, right: 1. Added ``a c``, ``a d`` wanted: 0.
    Longer ones: there are none, 1 each.
    """
    keep, delete, add = (1 + 1 + 1 + 1) / 4, (1 + 1 + 1 + 1) / 4, (0 + 0 + 1 + 1) / 4
    assert sari(["a", "b"], ["a", "c"], [["a", "d"]]) == pytest.approx((keep + delete + add) / 3)


def test_nothing_done_where_something_was_to_be():
    """Source and output ``a b``, reference ``a``.

    Single words: kept ``a b``, precision 1/2, recall 1, F1 2/3; deleted none, none is wrong: 1; added none: 1.
    Pairs: kept ``a b``, to be kept none: precision 0, F1 0; deleted none: 1; added none: 1. Longer ones: 1 each.
    """
    assert sari(["a", "b"], ["a", "b"], [["a"]]) == pytest.approx(((2 / 3 + 0 + 1 + 1) / 4 + 1 + 1) / 3)


def test_the_reference_itself_is_perfect():
    assert sari(["the", "old", "cat", "sat", "down"], ["the", "cat", "sat"], [["the", "cat", "sat"]]) == 1


def test_a_word_that_is_deleted_once_and_kept_once():
    """Source ``a a``, output ``a``, reference ``a``.

    Single words: kept ``a``, right; deleted one ``a``, of which the reference's ``a`` is taken away: none was right, 0.
    Pairs: deleted ``a a``, right: 1; nothing is kept or to be kept: 1. Nothing is added: 1 everywhere.
    """
    assert sari(["a", "a"], ["a"], [["a"]]) == pytest.approx((1 + (0 + 1 + 1 + 1) / 4 + 1) / 3)


def independent_sari(source: Sequence[str], output: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Compute SARI from lists and their counts alone, n-gram by n-gram, as the public script defines it."""
    total = 0.0
    for size in range(1, 5):
        text_grams = [
            [" ".join(text[start : start + size]) for start in range(len(text) - size + 1)]
            for text in (source, output, *references)
        ]
        in_source, in_output = text_grams[:2]
        in_references = [gram for grams in text_grams[2:] for gram in grams]
        count = len(references)
        keep_hits = keep_good = keep_all = del_hits = 0.0
        num_kept = num_deleted = 0
        for gram in dict.fromkeys(in_source):
            ours, theirs = in_source.count(gram) * count, in_output.count(gram) * count
            wanted = in_references.count(gram)
            keep_all += min(ours, wanted)
            if theirs:
                kept = min(ours, theirs)
                num_kept += 1
                keep_hits += min(kept, wanted) / kept
                keep_good += min(kept, wanted)
            if ours > theirs:
                num_deleted += 1
                del_hits += max(0, ours - theirs - wanted) / (ours - theirs)
        added = [gram for gram in dict.fromkeys(in_output) if gram not in in_source]
        to_add = [gram for gram in dict.fromkeys(in_references) if gram not in in_source]
        good = sum(gram in to_add for gram in added)
        keep = harmonic(keep_hits / num_kept if num_kept else 1, keep_good / keep_all if keep_all else 1)
        add = harmonic(good / len(added) if added else 1, good / len(to_add) if to_add else 1)
        total += keep + (del_hits / num_deleted if num_deleted else 1) + add
    return total / 12


def harmonic(one: float, other: float) -> float:
    return 2 * one * other / (one + other) if one + other else 0.0


def test_two_thousand_random_texts_with_repeated_words():
    draw = random.Random(0)
    for _ in range(2_000):
        words = "abcdef"[: draw.randint(2, 6)]
        source, output, *references = (
            draw.choices(words, k=draw.randint(1, 12)) for _ in range(2 + draw.randint(1, 3))
        )
        assert sari(source, output, references) == pytest.approx(independent_sari(source, output, references))
