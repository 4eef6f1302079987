"""The simulator: chance, words, state, and questions that have one true answer."""

import re
from collections import Counter

import pytest

from growlm.data.example import Split
from growlm.tinyworld import lexicon
from growlm.tinyworld.cast import Cast, owner
from growlm.tinyworld.dice import Dice
from growlm.tinyworld.lexicon import Words
from growlm.tinyworld.stories import draw_tale
from growlm.tinyworld.tale import questions
from growlm.tinyworld.world import World

LISTS = {name: value for name, value in vars(lexicon).items() if isinstance(value, Words)}


def test_draws_are_fixed_for_all_time():
    dice = Dice(0, "chat", "train", 17)
    assert [dice.number(1, 100) for _ in range(6)] == [23, 33, 72, 64, 74, 9]
    assert dice.shuffled("abcde") == ["b", "d", "e", "a", "c"]
    assert dice.some(range(10), 3) == [3, 8, 2]


def test_draws_cover_their_range():
    dice = Dice("range")
    assert {dice.number(2, 5) for _ in range(200)} == {2, 3, 4, 5}
    assert {dice.pick("ab") for _ in range(50)} == {"a", "b"}


def test_owners_are_fixed_for_all_time_and_shared_out():
    places = ("park", "garden", "forest", "kitchen", "hill", "yard", "castle", "beach")
    assert [owner("ball", place) for place in places] == [
        "train",
        "train",
        "train",
        "validation",
        "train",
        "test",
        "train",
        "train",
    ]
    shares = Counter(owner(str(number)) for number in range(5_000))
    assert 0.75 < shares["train"] / 5_000 < 0.85
    assert 0.08 < shares["test"] / 5_000 < 0.13


@pytest.mark.parametrize("name", LISTS)
def test_lists_are_apart(name: str):
    words = list(LISTS[name])
    assert len(words) == len(set(words))
    assert LISTS[name].validation
    assert LISTS[name].test


def test_no_word_is_known_in_one_list_and_held_out_in_another():
    """A word may be in two lists, but then with the same standing."""
    standing: dict[str, set[str]] = {}
    for words in LISTS.values():
        for split in ("train", "validation", "test"):
            for word in words.own(split):  # type: ignore[arg-type]
                standing.setdefault(word, set()).add(split)
    assert {word: splits for word, splits in standing.items() if len(splits) > 1} == {}


def new_names(split: Split) -> set[str]:
    return {Cast(Dice("names", number), split, hold_out=False, new_names=1.0).person().name for number in range(400)}


def test_new_names_are_those_of_many_languages_and_made_up_ones_others_in_each_split():
    known = {name for names in lexicon.MANY_NAMES.values() for name in names}
    drawn = {split: new_names(split) for split in ("train", "validation", "test")}
    assert not drawn["train"] & drawn["test"]
    assert not drawn["train"] & drawn["validation"]
    assert not drawn["validation"] & drawn["test"]
    for names in drawn.values():
        assert len(names & known) > 20
        assert len(names - known) > 100
        assert all(name.lower() not in lexicon.LEXICON for name in names)


def test_made_up_names_begin_and_end_in_many_ways():
    made_up = new_names("train") - {name for names in lexicon.MANY_NAMES.values() for name in names}
    assert {name[0] for name in made_up} >= set("ABCDEFGHIJKLMNOPQRSTUVWYZ")
    assert {name[:2] for name in made_up} >= {"Ch", "Sh", "Th", "Br"}
    assert {name[-1] for name in made_up} >= set("aeioukllmnrstdhx")


def test_names_of_many_languages_are_listed_once_and_apart_from_the_words_of_the_world():
    girls, boys = lexicon.MANY_NAMES["girls"], lexicon.MANY_NAMES["boys"]
    assert min(len(girls), len(boys)) > 250
    assert len({*girls, *boys}) == len(girls) + len(boys)
    assert not {name.lower() for name in (*girls, *boys)} & lexicon.LEXICON


@pytest.mark.parametrize(("noun", "written"), [("ball", "a ball"), ("egg", "an egg"), ("soup", "some soup")])
def test_articles(noun: str, written: str):
    assert lexicon.a(noun) == written


@pytest.mark.parametrize(
    ("place", "written"), [("park", "in the park"), ("hill", "on the hill"), ("zoo", "at the zoo")]
)
def test_prepositions(place: str, written: str):
    assert lexicon.at(place) == written


def test_the_world_follows_things_through_hands_and_places():
    world = World()
    world.go("Tim", "park")
    world.take("Tim", "ball")
    assert world.where("ball") == "park"
    world.go("Tim", "zoo")
    assert world.where("ball") == "zoo"
    world.place_of["Sue"] = "zoo"
    world.give("Tim", "ball", "Sue")
    world.place_of["box"] = "kitchen"
    assert world.things_of("Sue") == ["ball"]
    assert world.holders("ball") == ["Tim", "Sue"]
    world.put("Sue", "ball", "box")
    assert world.where("ball") == "kitchen"
    assert [event.kind for event in world.history] == ["go", "take", "go", "give", "put"]


def test_every_answer_about_a_story_is_told_in_it():
    """Truth is read from the world; here it is held against the text, so that the two cannot drift apart."""
    kinds: Counter[str] = Counter()
    for number in range(600):
        tale = draw_tale(Cast(Dice("told", number), "train"))
        for question in questions(tale):
            kinds[question.wordings[0].split()[0]] += 1
            for alternatives in question.expected:
                told = any(re.search(rf"\b{word}\b", tale.text) for word in alternatives)
                assert told or alternatives[0] in ("yes", "no"), (tale.text, question)
    assert set(kinds) >= {"Who", "What", "Where", "How", "Was"}


def test_no_question_has_two_answers():
    for number in range(600):
        tale = draw_tale(Cast(Dice("one", number), "train"))
        answers: dict[str, set[object]] = {}
        for question in questions(tale):
            for wording in question.wordings:
                answers.setdefault(wording, set()).add(question.expected)
        assert {wording: found for wording, found in answers.items() if len(found) > 1} == {}, tale.text
