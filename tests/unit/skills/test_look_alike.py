"""Look-alikes: the same text whatever is wanted of it, and answers worked out by hand."""

from functools import cache
from itertools import islice

import pytest

from growlm.data.example import Message
from growlm.errors import GrowlmError
from growlm.registry import skills
from growlm.skills.look_alike import LookAlike

SORTS = (("where", "before", "first"), ("digits", "words"), ("steps", "count"))


@cache
def exchanges(wanted: str, count: int = 12) -> list[tuple[Message, Message]]:
    skill = skills.build("look_alike", {"wanted": wanted, "difficulty": 0.25})
    return [(example.messages[0], example.messages[1]) for example in islice(skill.examples("test"), count)]


def stems(wanted: str) -> list[str]:
    """Return the texts without what is wanted of them."""
    skill = LookAlike()
    return ["".join(skill.hashed(exchange)) for exchange in exchanges(wanted)]


@pytest.mark.parametrize("sort", SORTS, ids=lambda sort: sort[0])
def test_texts_of_a_sort_are_the_same_whatever_is_wanted(sort: tuple[str, ...]):
    first, *others = [stems(wanted) for wanted in sort]
    assert all(other == first for other in others)
    endings = [{question.content[-12:] for question, _ in exchanges(wanted)} for wanted in sort]
    assert all(set.isdisjoint(one, other) for one in endings for other in endings if one is not other)


def test_a_sum_is_said_in_digits_or_in_words():
    pairs = zip(exchanges("digits"), exchanges("words"), strict=True)
    for (question, digits), (other, words) in pairs:
        first, sign, second = question.content.removeprefix("What is ").partition("?")[0].split()
        result = int(first) + int(second) if sign == "+" else int(first) - int(second)
        assert question.content.endswith("Answer in digits.")
        assert other.content.endswith("Answer in words.")
        assert digits.content.endswith(f" {result}.")
        assert digits.expected == ((str(result),),)
        assert not any(character.isdigit() for character in words.expected[0][0])


def test_steps_are_said_or_counted():
    for (_, steps), (question, count) in zip(exchanges("steps"), exchanges("count"), strict=True):
        assert question.content.endswith("Say how many steps.")
        said = [word for word in steps.expected[0][0].replace(",", "").split() if not word.isdigit()]
        assert count.expected == ((str(len(said)),),)


@pytest.mark.parametrize("wanted", [wanted for sort in SORTS for wanted in sort])
def test_what_is_wanted_may_come_first(wanted: str):
    skill = skills.build("look_alike", {"wanted": wanted, "difficulty": 0.25, "place": "first"})
    for example, (question, answer) in zip(skill.examples("test"), exchanges(wanted), strict=False):
        asked, reply = example.messages
        assert sorted(asked.content.split()) == sorted(question.content.split())
        assert asked.content != question.content
        assert reply == answer
        assert list(skill.hashed(example.messages)) == list(LookAlike().hashed((question, answer)))


def test_what_is_wanted_has_a_name():
    with pytest.raises(GrowlmError, match="wanted"):
        skills.build("look_alike", {"wanted": "everything"})
