from growlm.tinyworld.cast import Cast, owner
from growlm.tinyworld.dice import Dice
from growlm.tinyworld.word_lists import word_list

STORY = "Lily saw a small red ball. \"It's 7 o'clock,\" said Tom."
KNOWN = {"Lily", "saw", "a", "small", "red", "ball", "It", "s", "o", "clock", "said", "Tom"}


def lists(number: int) -> tuple[list[str], list[str]]:
    text = word_list(STORY, Cast(Dice("test", number), "train", hold_out=False, new_names=1.0))
    assert text is not None
    words = text.replace(",", " ").replace(".", " ").split()
    half = len(words) // 2
    return words[:half], words[half:]


def test_six_to_thirty_words_come_twice() -> None:
    drawn = [lists(number) for number in range(300)]
    assert all(first == second for first, second in drawn)
    assert {len(first) for first, _ in drawn} == set(range(6, 31))


def test_two_fifths_of_the_words_are_new_and_of_the_training_split() -> None:
    words = [word for number in range(100) for word in lists(number)[0]]
    new = [word for word in words if word not in KNOWN]
    assert 0.35 < len(new) / len(words) < 0.45
    assert {owner("name" if word[0].isupper() else "word", word.lower()) for word in new} == {"train"}


def test_the_same_draws_give_the_same_lists_and_no_word_none() -> None:
    assert lists(3) == lists(3) != lists(4)
    assert word_list("7 + 5 = 12", Cast(Dice("test"), "train", hold_out=False, new_names=1.0)) is None
