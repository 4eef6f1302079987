"""What a score has to beat, on skills of which it is known."""

from collections.abc import Iterator

import pytest

from growlm.data.example import Example, Message, Split
from growlm.metrics.references import References, interval, learned, references
from growlm.registry import skills
from growlm.skills.metric import Metric
from growlm.skills.skill import Skill


class Colors(Skill):
    """Every second answer is red; the first word of the question is the answer."""

    metric: Metric = "final_answer"

    def examples(self, split: Split) -> Iterator[Example]:
        for number in range(40):
            color = "red" if number % 2 else ("blue", "green", "pink")[number % 3]
            answer = Message("assistant", f"It is {color}.", ((f"it is {color}",),), ("it is red", f"it is {color} "))
            yield Example(str(number), (Message("user", f"{color} again?"), answer))

    def stateless(self, messages: tuple[Message, ...]) -> str:
        return f"It is {messages[-1].content.split()[0]}."


def test_references_of_a_known_skill():
    found = references(Colors())
    assert found is not None
    assert found.drawn == 0.5
    assert found.constant == 0.5
    assert found.stateless == 1.0
    assert found.blind == 0.5, "the most frequent word after 'It is'"
    assert found.best == 1.0


def test_a_skill_whose_answers_are_not_replies_has_none():
    assert references(skills.build("stories", {"num_test": 2})) is None


@pytest.mark.parametrize("size", [60, pytest.param(200, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("name", ["arithmetic", "memory", "reasoning", "commands", "code", "chat"])
def test_no_shipped_skill_is_had_without_the_question(name: str, size: int):
    found = references(skills.build(name, {"num_test": size}), num_train=2 * size)
    assert found is not None
    assert found.best < 0.5
    assert (found.stateless is not None) == (name == "memory")


def test_interval_of_a_share():
    assert interval(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert interval(0.0, 20)[0] == 0.0
    assert interval(1.0, 20)[1] == 1.0


def test_learned_is_above_the_best_reference():
    known = References(0.3, 0.2, None, 0.1)
    assert learned(0.5, 100, known)
    assert not learned(0.35, 100, known)
