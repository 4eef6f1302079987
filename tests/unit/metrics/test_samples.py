"""What samples look like, counted by hand."""

import pytest

from growlm.metrics.samples import SampleShape, distinct_trigrams, sample_shape


def test_distinct_trigrams_are_averaged_over_the_texts_that_have_any():
    # "a a a a a" has three 3-grams, one of them distinct; "a b c d" has two, both distinct
    assert distinct_trigrams(["a a a a a"]) == pytest.approx(1 / 3)
    assert distinct_trigrams(["a a a a a", "a b c d", "too short"]) == pytest.approx((1 / 3 + 1) / 2)
    assert distinct_trigrams(["too short"]) == 0.0


def test_ended_is_the_share_with_the_end_token_and_its_words_do_not_count():
    shape = sample_shape(["a b c<end>", "a b c", "a a a a<end>", "a b c d"], "<end>")
    assert shape == SampleShape(0.5, pytest.approx((1 + 1 + 0.5 + 1) / 4))
