import re

from growlm.tinyworld.cast import Cast, owner
from growlm.tinyworld.dice import Dice
from growlm.tinyworld.lexicon import THINGS
from growlm.tinyworld.rename import rename

STORY = 'Lily had a ball. Tom took Lily\'s ball. "My ball!" said Lily. Tom gave Lily an umbrella and a bone.'


def renamed(number: int, text: str = STORY) -> str | None:
    return rename(text, Cast(Dice("test", number), "train", hold_out=False, new_names=1.0))


def test_a_name_has_one_new_name_wherever_it_occurs() -> None:
    for number in range(50):
        text = renamed(number)
        assert text is not None
        found = re.fullmatch(
            r"(\w+) had an? (\w+)\. (\w+) took \1's \2\. \"My \2!\" said \1\. "
            r"\3 gave \1 an? (\w+) and an? (\w+)\.",
            text,
        )
        assert found is not None, text
        girl, boy = found[1], found[3]
        assert len({girl, boy, "Lily", "Tom"}) == 4
        assert {owner("name", name.lower()) for name in (girl, boy)} == {"train"}


def test_a_third_of_the_things_has_a_made_up_word_with_its_article() -> None:
    texts = [renamed(number) for number in range(300)]
    balls = [re.findall(r"had (an?) (\w+)\.", str(text))[0] for text in texts]
    made_up = [(article, word) for article, word in balls if word not in THINGS.all]
    assert 70 < len(made_up) < 130
    assert all((article == "an") == (word[0] in "aeiou") for article, word in made_up)
    assert {word for _, word in balls} - {word for _, word in made_up} == {"ball"}


def test_the_same_draws_give_the_same_text() -> None:
    assert renamed(3) == renamed(3)
    assert renamed(3) != renamed(4)


def test_a_text_without_a_known_name_is_left_out() -> None:
    assert renamed(0, "The cat took the ball.") is None
    assert renamed(0, "Lilypads and a Tomcat.") is None
