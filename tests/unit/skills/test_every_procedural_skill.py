"""What holds for every skill made from TinyWorld: a new file in growlm/skills is tested without being named here."""

import re
from itertools import islice
from typing import Any

import pytest

from growlm.data.example import Example, Message
from growlm.errors import GrowlmError
from growlm.registry import skills
from growlm.skills.composites import Composite
from growlm.skills.procedural import Procedural
from growlm.skills.skill import Skill
from growlm.tinyworld import lexicon

PROCEDURAL = [name for name in skills if issubclass(skills.get(name), Procedural)]
COMPOSITE = [name for name in skills if issubclass(skills.get(name), Composite)]

# the first examples of the train, validation and test splits, fixed for all time: another digest is another data set
DIGESTS = {
    "arithmetic": ("61f11f635742e390", "19ce480ac7c37ba3", "ebff771c5922486e"),
    "chat": ("94064535f1691ad9", "6862b60da924a95e", "79549d77fc6225d8"),
    "chat_arithmetic": ("3173e5b8550f249e", "7d45409ccbc35c4b"),
    "chat_memory": ("b18ffbd4783e0fd9", "ab2472b57f86eace"),
    "chat_memory_arithmetic": ("ab3586f45394f81f", "bfda4273799dd3b5"),
    "chat_reasoning": ("4e0387b06ae3777e", "c08924090638caa1"),
    "code": ("898d483ae38957fb", "66655dc7d3b05ccc", "eaaa3363ec35fa38"),
    "code_arithmetic": ("1c6f9e8b9f08cc4b", "df4f92e395cbc4b2"),
    "commands": ("61d301d233dd9f94", "ae40d6aeef58945a", "8bf07e7be129252d"),
    "memory": ("17c8925c6b2c078f", "81b54b063141ef3f", "f0ec9d011a26e2e3"),
    "memory_arithmetic": ("2d006da88ee3a378", "15e33a70f2cdbf28"),
    "memory_commands": ("f9b4353eb21a59f8", "377b00a2b7452c76"),
    "memory_reasoning": ("2ed87d62d433e7d3", "208c39dd62ba5b86"),
    "reasoning": ("61a7db838bd91df9", "fa5220b845d24d94", "c37979a93322860c"),
    "reasoning_arithmetic": ("541ed7524cf431db", "bc0a1470b8891c28"),
    "stories": ("8ad7a3987432cf3b", "07b8ee73a55d55bf", "9c0138b635641418"),
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


def scored(skill: Skill, split: Any = "test") -> list[Message]:
    return [message for example in skill.examples(split) for message in example.messages if message.expected]


def test_there_are_some():
    assert {"chat", "memory", "reasoning", "arithmetic", "commands"} < set(PROCEDURAL)
    assert sum(len(skills.get(name).parts) == 2 for name in COMPOSITE) >= 4
    assert any(len(skills.get(name).parts) == 3 for name in COMPOSITE)


@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE, "stories"])
def test_the_examples_are_the_same_everywhere(name: str):
    counts = {"train": 100, "validation": 40, "test": 40}
    splits = [split for split in counts if name not in COMPOSITE or split != "train"]
    skill = build(name, **{f"num_{split}": counts[split] for split in splits})
    assert tuple(skill.digest(split)[:16] for split in splits) == DIGESTS[name]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE])
def test_more_examples_keep_the_first_ones(name: str):
    few = list(build(name, num_test=10).examples("test"))
    assert few == list(islice(build(name, num_test=30).examples("test"), 10))
    assert few != list(build(name, num_test=10, seed=1).examples("test"))


@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE])
def test_the_reference_answer_is_right_and_a_generic_one_is_not(name: str):
    messages = scored(build(name, num_test=60))
    assert len(messages) >= 60
    assert [message for message in messages if not message.accepts(message.content)] == []
    assert all(phrase for message in messages for alternatives in message.expected for phrase in alternatives)
    for reply in GENERIC:
        assert sum(message.accepts(reply) for message in messages) <= 0.05 * len(messages)


@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE])
def test_the_question_does_not_hold_the_answer(name: str):
    """Repeating the user's words must not score."""
    pairs = [
        (question, answer)
        for example in build(name, num_test=60).examples("test")
        for question, answer in zip(example.messages[::2], example.messages[1::2], strict=True)
        if answer.expected
    ]
    echoed = sum(answer.accepts(question.content) for question, answer in pairs)
    assert echoed <= (0.45 if name == "chat" else 0.05) * len(pairs)  # chat has to say again what one tells it


@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE])
def test_choices_hold_the_right_one(name: str):
    for message in scored(build(name, num_test=60)):
        if message.choices:
            assert any(choice in alternatives for alternatives in message.expected for choice in message.choices)
            assert len(set(message.choices)) == len(message.choices)


@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE])
def test_chance_and_majority_are_low(name: str):
    skill = build(name)
    assert 0 <= skill.chance() < 0.5
    assert 0 < skill.majority() < 0.2


@pytest.mark.parametrize("name", PROCEDURAL)
def test_splits_share_nothing(name: str):
    skill = build(name, num_train=800)
    asked = {
        split: {" ".join(message.content for message in example.messages) for example in skill.examples(split)}
        for split in ("train", "validation", "test")
    }
    assert asked["train"] & asked["test"] == set()
    assert asked["train"] & asked["validation"] == set()
    assert asked["validation"] & asked["test"] == set()


@pytest.mark.parametrize("name", PROCEDURAL)
@pytest.mark.parametrize("kept", ["validation", "test"])
def test_held_out_words_are_absent_from_training(name: str, kept: str):
    lists = (
        lexicon.GIRLS,
        lexicon.BOYS,
        lexicon.THINGS,
        lexicon.PLACES,
        lexicon.CONTAINERS,
        lexicon.ANIMALS,
        lexicon.MANY,
    )
    held_out = {word.lower() for words in lists for word in getattr(words, kept)}
    assert held_out & said(list(build(name, num_train=1_000).examples("train"))) == set()


@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE])
def test_difficulty_makes_examples_longer(name: str):
    def length(difficulty: float) -> int:
        examples = build(name, num_validation=60, difficulty=difficulty).examples("validation")
        return sum(len(message.content) for example in examples for message in example.messages)

    assert length(0.0) < length(1.0)


@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE])
def test_answers_are_short_enough_to_be_generated(name: str):
    examples = list(build(name, num_test=100).examples("test"))
    assert (
        max(len(message.content.split()) for e in examples for message in e.messages if message.role == "assistant")
        < 80
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
    for example in build(name, num_test=60).examples("test"):
        answer = example.messages[-1]
        assert [message.expected for message in example.messages[:-1]] == [()] * (len(example.messages) - 1)
        without_name = answer.content[: answer.content.rindex(",")]
        assert not answer.accepts(without_name)
        assert not answer.accepts(answer.expected[-1][0])
        assert answer.expected[-1][0] not in example.messages[-2].content


@pytest.mark.parametrize("name", [*PROCEDURAL, *COMPOSITE])
@pytest.mark.parametrize(
    ("options", "message"), [({"num_test": 0}, "num_test is 0"), ({"difficulty": -0.1}, "from 0 to 1")]
)
def test_bad_options_are_refused(name: str, options: dict[str, float], message: str):
    with pytest.raises(GrowlmError, match=message):
        build(name, **options)
