"""Nothing is drawn for ever."""

import pytest

from growlm.errors import GrowlmError
from growlm.skills.procedural import draw_one
from growlm.tinyworld.arithmetic import draw_sum, largest
from growlm.tinyworld.cast import Cast, owner
from growlm.tinyworld.dice import MOST_TRIES, Dice, first_fitting
from growlm.tinyworld.lexicon import Words


def test_the_first_that_fits_is_taken():
    assert first_fitting("square", lambda attempt: attempt if attempt**2 > 50 else None) == 8
    assert first_fitting("nothing", lambda attempt: 0) == 0  # what is false fits, too


def test_after_so_many_tries_it_is_an_error():
    seen: list[int] = []
    with pytest.raises(GrowlmError, match="no unicorn in 10,000 draws"):
        first_fitting("unicorn", seen.append)
    assert seen == list(range(MOST_TRIES))


def test_a_split_that_nothing_belongs_to():
    other = "validation" if owner("always the same") == "test" else "test"
    with pytest.raises(GrowlmError, match=f"no example of the {other} split"):
        draw_one((0,), other, 0, lambda cast: "always the same", lambda made: (made,))


def test_words_that_run_out():
    cast, words = Cast(Dice(0), "train"), Words(("one", "two"), (), ())
    assert {cast.word(words), cast.word(words)} == {"one", "two"}
    with pytest.raises(GrowlmError, match="no word"):
        cast.word(words)


def test_sums_that_do_not_exist():
    with pytest.raises(GrowlmError, match="no sum up to 1 for the test split"):
        draw_sum(Cast(Dice(0), "test"), 1)


def test_arithmetic_holds_many_sums_out():
    for split, least in (("test", 150), ("train", 600)):
        sums = [draw_sum(Cast(Dice(number), split), largest(0.5)) for number in range(1_000)]
        assert len({total.text for total in sums}) >= least
