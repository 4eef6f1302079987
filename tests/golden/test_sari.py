"""SARI against a published figure and against what was worked out by hand."""

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
