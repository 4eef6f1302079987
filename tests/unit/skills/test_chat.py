"""The skill chat: splits apart, truth from the world, answers that have to be given."""

import re

import pytest

from growlm.data.example import Example
from growlm.skills.chat import Chat
from growlm.tinyworld import lexicon

GENERIC = (
    "Hello! How are you?",
    "I am happy to help you.",
    "Once upon a time, there was a little girl named Lily. She loved to play with her toys in the park.",
    "Yes, I like that very much. Thank you!",
)


@pytest.fixture(scope="module")
def train() -> list[Example]:
    return list(Chat(num_train=1_000).examples("train"))


@pytest.fixture(scope="module")
def test() -> list[Example]:
    return list(Chat(num_test=400).examples("test"))


def words(examples: list[Example]) -> set[str]:
    text = " ".join(message.content for example in examples for message in example.messages)
    return set(re.findall(r"[a-z]+", text.lower()))


def test_most_users_of_training_have_made_up_names(train: list[Example], test: list[Example]):
    def share(examples: list[Example]) -> float:
        said = [m.content for example in examples for m in example.messages if m.role == "user"]
        names = [found[1] for text in said if (found := re.search(r"(?:name is|call me|I am|I'm) ([A-Z]\w+)", text))]
        assert len(names) > 50
        return sum(name not in {*lexicon.GIRLS.all, *lexicon.BOYS.all} for name in names) / len(names)

    assert 0.7 < share(train) < 0.9
    assert 0.35 < share(test) < 0.65


def test_every_conversation_is_well_formed(train: list[Example], test: list[Example]):
    for example in (*train, *test):
        assert [m.role for m in example.messages] == ["user", "assistant"] * (len(example.messages) // 2)
        assert 1 <= len(example.messages) // 2 <= 6
        assert sum(len(message.content.split()) for message in example.messages) < 300
        for message in example.messages:
            assert message.content == message.content.strip() != ""
            assert not re.search(r"[{}]|  ", message.content)


def test_lengths_are_such_that_answers_can_be_generated(train: list[Example]):
    lengths = [len(message.content.split()) for example in train for message in example.messages]
    assert max(lengths) <= 75
    totals = sorted(sum(len(message.content.split()) for message in example.messages) for example in train)
    assert totals[len(totals) * 9 // 10] < 150


def test_the_reference_reply_is_right(train: list[Example], test: list[Example]):
    replies = [message for example in (*train, *test) for message in example.messages if message.role == "assistant"]
    scored = [message for message in replies if message.expected]
    assert len(scored) > 0.9 * len(replies)
    assert [message for message in scored if not message.accepts(message.content)] == []
    assert all(
        any(choice in alternatives for alternatives in message.expected for choice in message.choices)
        for message in scored
        if message.choices
    )


@pytest.mark.parametrize("reply", GENERIC)
def test_a_generic_reply_is_hardly_ever_right(test: list[Example], reply: str):
    scored = [message for example in test for message in example.messages if message.expected]
    assert sum(message.accepts(reply) for message in scored) < 0.05 * len(scored)


def test_no_constant_answer_pays():
    skill = Chat()
    assert skill.majority() < 0.1
    assert skill.chance() < 0.1


def test_held_out_words_are_absent_from_training():
    used = words(list(Chat(num_train=1_000, hold_out_words=True).examples("train")))
    lists = (lexicon.GIRLS, lexicon.BOYS, lexicon.PETS, lexicon.THINGS, lexicon.PLACES, lexicon.ANIMALS, lexicon.FOODS)
    for kept in ("validation", "test"):
        assert {word.lower() for some in lists for word in getattr(some, kept)} & used == set()


def test_the_test_uses_held_out_and_known_words():
    used = words(list(Chat(num_test=400, hold_out_words=True).examples("test")))
    for some in (lexicon.GIRLS, lexicon.BOYS, lexicon.THINGS, lexicon.PLACES, lexicon.ANIMALS, lexicon.FOODS):
        assert {word.lower() for word in some.test} <= used
        assert {word.lower() for word in some.train} & used
        assert {word.lower() for word in some.validation} & used == set()


def test_held_out_combinations_are_absent_from_training(train: list[Example], test: list[Example]):
    def pairs(examples: list[Example]) -> set[tuple[str, str]]:
        asked = [
            example.messages[index].content for example in examples for index in range(0, len(example.messages), 2)
        ]
        found = [re.search(r"(?:about|with|of) an? (\w+) (?:in|on|at|by) the (\w+)\b", text) for text in asked]
        return {(match[1], match[2]) for match in found if match}

    assert len(pairs(test)) > 10
    assert pairs(train) & pairs(test) == set()


def test_a_reply_uses_the_name_whenever_it_is_known(test: list[Example]):
    name = re.compile(r"(?:[Mm]y name is|I am|I'm|call me|It is me,) ([A-Z]\w+)[.]$")
    checked = 0
    for example in test:
        told = None
        for message in example.messages:
            if message.role == "user" and (match := name.search(message.content)):
                told = match[1]
            if message.role == "assistant" and told:
                assert told in message.content
                checked += 1
    assert checked > 300


def test_difficulty_lengthens_conversations():
    def turns(difficulty: float) -> int:
        return sum(len(e.messages) for e in Chat(num_train=300, difficulty=difficulty).examples("train"))

    assert turns(0.0) < turns(1.0)
