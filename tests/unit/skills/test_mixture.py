"""Several skills as one: shares, order and what is refused."""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from growlm import registry
from growlm.data.example import Example, Split
from growlm.errors import GrowlmError
from growlm.registry import skills
from growlm.skills.skill import Skill


class Counted(Skill):
    """Says numbers.

    Args:
        word: what every example begins with.
        num_train: how many training examples.
        num_test: how many test examples.
    """

    metric = "exact_match"

    def __init__(self, word: str = "a", num_train: int = 3, num_test: int = 2) -> None:
        self.word = word
        self.counts: dict[Split, int] = {"train": num_train, "validation": 1, "test": num_test}

    def examples(self, split: Split) -> Iterator[Example]:
        """Yield the split's examples."""
        for number in range(self.counts[split]):
            yield Example(f"{self.word}{number}", prompt=split, completion=f"{self.word} {number}")


class Point:
    """An entry point without a package around it."""

    name, value = "counted", "tests:Counted"

    def load(self) -> type:
        return Counted


@pytest.fixture(autouse=True)
def _counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [Point()] if group == "growlm.skills" else [])


def mixture(weights: dict[str, float] | None = None, **counts: tuple[int, int]) -> Skill:
    entries = {
        name: {"skill": "counted", "options": {"word": name, "num_train": train, "num_test": test}}
        for name, (train, test) in counts.items()
    }
    skill: Skill = skills.build("mixture", {"skills": entries, "weights": weights})
    return skill


def names(skill: Skill, split: Split = "train") -> str:
    return " ".join(example.name for example in skill.examples(split))


def test_skills_of_one_size_take_turns_and_nothing_comes_twice() -> None:
    assert names(mixture(a=(3, 1), b=(3, 1))) == "a0 b0 a1 b1 a2 b2"


def test_a_smaller_skill_begins_again_in_training_until_the_larger_one_is_through() -> None:
    assert names(mixture(a=(2, 1), b=(5, 1))) == "a0 b0 a1 b1 a0 b2 a1 b3 a0 b4"


def test_in_other_splits_every_example_comes_once() -> None:
    skill = mixture(a=(1, 2), b=(1, 4), c=(1, 1))
    assert names(skill, "test") == "a0 b0 c0 a1 b1 b2 b3"
    assert names(skill, "validation") == "a0 b0 c0"


def test_weights_are_shares_of_every_stretch() -> None:
    skill = mixture({"a": 1, "b": 2.5, "c": 0.5}, a=(40, 1), b=(100, 1), c=(20, 1))
    drawn = [example.name[0] for example in skill.examples("train")]
    assert {name: drawn.count(name) for name in "abc"} == {"a": 40, "b": 100, "c": 20}
    for begin in range(0, 160, 8):
        stretch = drawn[begin : begin + 8]
        assert [stretch.count(name) for name in "abc"] == [2, 5, 1]


def test_weights_that_are_no_round_numbers_never_drift() -> None:
    drawn = [example.name[0] for example in mixture({"a": 0.1, "b": 0.3}, a=(500, 1), b=(1500, 1)).examples("train")]
    assert all(abs(drawn[:end].count("a") - end / 4) <= 1 for end in range(1, len(drawn)))


def test_a_mixture_of_one_skill_is_that_skill() -> None:
    alone, mixed = skills.build("counted", {"word": "a"}), mixture(a=(3, 2))
    for split in ("train", "validation", "test"):
        assert list(mixed.examples(split)) == list(alone.examples(split))
        assert mixed.digest(split) == alone.digest(split)


def test_names_alone_suffice() -> None:
    first, again = (skills.build("mixture", {"skills": ["chat", "arithmetic"]}) for _ in range(2))
    drawn = list(islice(first.examples("train"), 40))
    assert drawn == list(islice(again.examples("train"), 40))
    for offset, name in enumerate(("chat", "arithmetic")):
        assert drawn[offset::2] == list(islice(skills.build(name).examples("train"), 20))
    assert first.metric == "loss"


def test_what_is_missing_of_a_part_is_missing(tmp_path: Path) -> None:
    member = skills.get("mixture")
    assert member.missing_data({"skills": ["chat"]}) is None

    def missing(cls: type, options: dict[str, Any]) -> str | None:
        return None if "word" in options else "somewhere/train.json"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Counted, "missing_data", classmethod(missing))
        entries = {"a": {"skill": "counted", "options": {"word": "a"}}, "b": {"skill": "counted"}}
        assert member.missing_data({"skills": entries}) == "somewhere/train.json"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "skill 'mixture' needs its option 'skills': give it a value"),
        ({"skills": []}, "a mixture needs its option 'skills': give at least one name"),
        ({"skills": ["chta"]}, "unknown skill 'chta': did you mean 'chat'?"),
        (
            {"skills": ["chat", "code", "chat"]},
            "the mixture names chat twice: name it once, and give it a greater weig",
        ),
        ({"skills": {"chat": None}}, "skill 'chat' of the mixture is None: write {skill: NAME, options: {...}}"),
        ({"skills": {"chat": {"option": {}}}}, "unknown key of skill 'chat' of the mixture 'option': did you mean 'op"),
        ({"skills": {"chat": {"skill": 3}}}, "skill 'chat' of the mixture: 'skill' has to be a name and 'options' key"),
        ({"skills": ["chat"], "weights": {"chart": 1}}, "unknown skill in weights 'chart': did you mean 'chat'?"),
        ({"skills": ["chat", "code"], "weights": {"chat": 1}}, "skill 'code' of the mixture has no weight: give every"),
        ({"skills": ["chat"], "weights": {"chat": 0}}, "weight 0.0 of skill 'chat' is not a positive number: give one"),
        (
            {"skills": ["chat", "code"], "weights": {"chat": 1, "code": 1e-4}},
            "weight 0.0001 of skill 'code' is under a thousandth of another: leave it out",
        ),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GrowlmError, match=f"^{re.escape(message)}"):
        skills.build("mixture", options)


def test_a_skill_without_examples_is_named() -> None:
    with pytest.raises(GrowlmError, match="skill 'b' of the mixture has no train examples: leave it out"):
        next(mixture(a=(3, 1), b=(0, 1)).examples("train"))
