"""What holds for every skill made from TinyWorld: a new file in growlm/skills is tested without being named here."""

import re
from functools import cache
from itertools import islice, product
from typing import Any

import pytest

from growlm.data.example import Example, Message
from growlm.errors import GrowlmError
from growlm.metrics.references import judge
from growlm.registry import skills
from growlm.skills.composites import Composite
from growlm.skills.procedural import Procedural
from growlm.skills.skill import Skill
from growlm.tinyworld import lexicon

PROCEDURAL = [name for name in skills if issubclass(skills.get(name), Procedural)]
COMPOSITE = [name for name in skills if issubclass(skills.get(name), Composite)]

# the first examples of the train, validation and test splits, fixed for all time: another digest is another data set
DIGESTS = {
    "arithmetic": ("e00151b2e04f8c72", "2753fb2f2f0bfa91", "a6efe9004f0d6083"),
    "chat": ("4e2dfe5f50d77d99", "946b7383d7975d18", "9340ca15e2e743e9"),
    "chat_arithmetic": ("ce2b8062bc9cdeae", "e1d266b1e0ae5c4b"),
    "chat_memory": ("fb713964cd9197d9", "8e98d16c3ca12454"),
    "chat_memory_arithmetic": ("94acd0c67b948a72", "d5ecf822517703a8"),
    "chat_reasoning": ("2d49bdb2323a49a5", "db44cc7452059f9b"),
    "code": ("07ba65233bdceba8", "422ba782fde39be7", "86b22200e6f98578"),
    "code_arithmetic": ("736f03b49268d785", "b293056ea1db49db"),
    "commands": ("f34668248f0ac167", "523c7311a551122d", "daafc930c9acf89a"),
    "look_alike": ("dcac356abf2b9b02", "bbecaca74c2e0c0c", "8d4907d04afc946e"),
    "memory": ("9ebb358bc122dfe3", "d83f706235e4b552", "a12a3431c1639a40"),
    "memory_arithmetic": ("13e9ebb64cb6d5d6", "ae93a437067c658b"),
    "memory_commands": ("47335fccda21caba", "439c7dab9688657f"),
    "memory_reasoning": ("f3964335a8617558", "42063432a5206a96"),
    "reasoning": ("fbd9816e699b2806", "1f1fb857d60ca6b5", "84a14e9f7fffbb93"),
    "reasoning_arithmetic": ("31fa487886468211", "648fab45c7e27df1"),
    "stories": ("183c7dd0cf56c6b4", "2aa214e2db6126d2", "f2cacdbfacd0c1a6"),
}

GENERIC = (
    "Hello! How are you?",
    "I am happy to help you.",
    "Once upon a time, there was a little girl named Lily.",
    "0 1",
)


def build(name: str, **options: Any) -> Skill:
    return skills.build(name, options)


def said(examples: list[Example]) -> set[str]:
    text = " ".join(message.content for example in examples for message in example.messages)
    return set(re.findall(r"[a-z]+", text.lower()))


@cache
def drawn(name: str, split: Any, **options: Any) -> list[Example]:
    """Draw the examples of a split once for all tests, which all name the split."""
    return list(build(name, **options).examples(split))


@cache
def drawn_skill(name: str, num_test: int = 60) -> Skill:
    """Build a skill whose test split is drawn once for all tests."""
    skill = build(name, num_test=num_test)
    skill.examples = lambda split: iter(drawn(name, split, num_test=num_test))  # type: ignore[method-assign]
    return skill


def scored(name: str, num_test: int = 60) -> list[Message]:
    return [
        message
        for example in drawn(name, "test", num_test=num_test)
        for message in example.messages
        if message.expected
    ]


def test_there_are_some():
    assert {"chat", "memory", "reasoning", "arithmetic", "commands"} < set(PROCEDURAL)
    assert sum(len(skills.get(name).parts) == 2 for name in COMPOSITE) >= 4
    assert any(len(skills.get(name).parts) == 3 for name in COMPOSITE)


@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE, "stories"])
def test_the_examples_are_the_same_everywhere(name: str):
    counts = {"train": 40, "validation": 10, "test": 10}
    splits = [split for split in counts if name not in COMPOSITE or split != "train"]
    skill = build(name, **{f"num_{split}": counts[split] for split in splits})
    assert tuple(skill.digest(split)[:16] for split in splits) == DIGESTS[name]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE])
def test_more_examples_keep_the_first_ones(name: str):
    few = list(build(name, num_test=4).examples("test"))
    assert few == list(islice(drawn(name, "test", num_test=60), 4))
    assert few != list(build(name, num_test=4, seed=1).examples("test"))


@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE])
def test_the_reference_answer_is_right_and_a_generic_one_is_not(name: str):
    skill, messages = build(name), scored(name)
    assert len(messages) >= 60
    assert [message for message in messages if not judge(skill, message, message.content)] == []
    assert all(phrase for message in messages for alternatives in message.expected for phrase in alternatives)
    for reply in GENERIC:
        assert sum(judge(skill, message, reply) for message in messages) <= 0.05 * len(messages)


@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE])
def test_the_question_does_not_hold_the_answer(name: str):
    """Repeating the user's words must not score."""
    skill = build(name)
    pairs = [
        (question, answer)
        for example in drawn(name, "test", num_test=60)
        for question, answer in zip(example.messages[::2], example.messages[1::2], strict=True)
        if answer.expected
    ]
    echoed = sum(judge(skill, answer, question.content) for question, answer in pairs)
    assert echoed <= (0.45 if name == "chat" else 0.05) * len(pairs)  # chat has to say again what one tells it


@pytest.mark.parametrize("num_test", [60, pytest.param(200, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE])
def test_an_answer_that_lists_every_choice_is_wrong(name: str, num_test: int):
    skill = drawn_skill(name, num_test)
    listed = [message for message in scored(name, num_test) if len(message.choices) > 1]
    assert listed or name in ("code", "commands", "memory_commands", "code_arithmetic")
    for separator in (" ", ", ", ". ", "\n"):
        replies = [(message, separator.join(message.choices)) for message in listed]
        replies += [(message, separator.join(reversed(message.choices))) for message in listed]
        won = sum(judge(skill, message, reply) for message, reply in replies)
        # as a list of sentences it is its last one that counts, which a drawn choice would get as well
        assert won <= (skill.chance() * 1.5 + 0.05) * len(replies)


@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE])
def test_choices_hold_the_right_one(name: str):
    for message in scored(name):
        if message.choices:
            answers = {". ".join(parts) for parts in product(*message.expected)} | set(message.expected[0])
            assert answers & set(message.choices)
            assert len(set(message.choices)) == len(message.choices)


@pytest.mark.parametrize("num_test", [60, pytest.param(200, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE])
def test_chance_and_majority_are_low(name: str, num_test: int):
    skill = drawn_skill(name, num_test)
    assert 0 <= skill.chance() < 0.5
    assert 0 < skill.majority() < 0.25


@pytest.mark.parametrize("num_train", [15, pytest.param(800, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("name", PROCEDURAL)
def test_splits_share_nothing(name: str, num_train: int):
    skill = build(name, num_train=num_train)
    asked = {
        split: {" ".join(skill.hashed(example.messages)) for example in islice(skill.examples(split), num_train)}
        for split in ("train", "validation", "test")
    }
    assert asked["train"] & asked["test"] == set()
    assert asked["train"] & asked["validation"] == set()
    assert asked["validation"] & asked["test"] == set()


@pytest.mark.parametrize("name", [name for name in PROCEDURAL if name != "commands"])
@pytest.mark.parametrize("kept", ["validation", "test"])
def test_held_out_words_are_absent_from_training(name: str, kept: str):
    sorts = ("GIRLS", "BOYS", "THINGS", "PLACES", "ANIMALS", "MANY")
    held_out = {word.lower() for sort in sorts for word in getattr(getattr(lexicon, sort), kept)}
    assert held_out & said(drawn(name, "train", num_train=200, hold_out_words=True)) == set()
    if name != "code":
        taught = said(drawn(name, "train", num_train=200))
        assert held_out & taught, "without holding words out, training covers all of them"


@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE])
def test_the_first_edition_is_refused(name: str):
    with pytest.raises(GrowlmError, match=f"edition 1 of skill '{name}'"):
        build(name, edition=1)


@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE])
def test_difficulty_makes_examples_longer(name: str):
    def length(difficulty: float) -> int:
        examples = build(name, num_validation=8, difficulty=difficulty).examples("validation")
        return sum(len(message.content) for example in examples for message in example.messages)

    assert length(0.0) < length(1.0)


@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE])
def test_answers_are_short_enough_to_be_generated(name: str):
    examples = drawn(name, "test", num_test=60)
    assert (
        max(len(message.content.split()) for e in examples for message in e.messages if message.role == "assistant")
        < 110
    )
    assert max(sum(len(message.content.split()) for message in e.messages) for e in examples) < 300


@pytest.mark.parametrize("name", COMPOSITE)
def test_a_composite_is_for_testing_only(name: str):
    skill = build(name, num_test=5)
    assert set(skill.parts) <= set(PROCEDURAL)  # type: ignore[attr-defined]
    assert name == "_".join(skill.parts)  # type: ignore[attr-defined]
    assert len(list(skill.examples("test"))) == 5
    with pytest.raises(GrowlmError, match="no training split"):
        list(skill.examples("train"))


@pytest.mark.parametrize("name", [name for name in COMPOSITE if name.startswith("chat_")])
def test_a_composite_with_chat_needs_the_users_name(name: str):
    for example in drawn(name, "test", num_test=60):
        answer = example.messages[-1]
        assert [message.expected for message in example.messages[:-1]] == [()] * (len(example.messages) - 1)
        without_name, name_said = answer.content.removesuffix(".").rsplit(", ", 1)
        assert answer.ends_with(answer.content)
        assert not answer.ends_with(without_name)
        assert name_said.lower() in example.messages[0].content.lower()


@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE])
@pytest.mark.parametrize(
    ("options", "message"), [({"num_test": 0}, "num_test 0"), ({"difficulty": -0.1}, "from 0 to 1")]
)
def test_bad_options_are_refused(name: str, options: dict[str, float], message: str):
    with pytest.raises(GrowlmError, match=message):
        build(name, **options)
