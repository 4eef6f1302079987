"""What phases of one process share is what each would compute by itself."""

from collections.abc import Callable
from typing import Any

import pytest

import growlm.train.score_cache as module
from growlm.errors import GrowlmError
from growlm.metrics.scoring import score, score_with_answers
from growlm.train.score_cache import ScoreCache

NewStack = Callable[..., Any]
OPTIONS = {"num_train": 4, "num_test": 2}


def test_a_skill_is_built_once_for_the_same_options():
    memory = ScoreCache()
    assert memory.skill("chat", OPTIONS) is memory.skill("chat", dict(reversed(OPTIONS.items())))
    assert memory.skill("chat", OPTIONS) is not memory.skill("chat", {"num_train": 5})
    assert memory.skill("chat", OPTIONS) is not ScoreCache().skill("chat", OPTIONS)


def test_another_metric_is_another_skill_of_the_same_examples():
    memory = ScoreCache()
    own, other = memory.skill("chat", OPTIONS), memory.skill("chat", OPTIONS, "token_accuracy")
    assert (own.metric, other.metric) == ("contains", "token_accuracy")
    assert memory.skill("chat", OPTIONS, "token_accuracy") is other
    assert list(own.examples("test")) == list(other.examples("test"))
    with pytest.raises(GrowlmError, match=r"unknown metric of any skill .* known: loss, token_accuracy"):  # from a file
        memory.skill("chat", OPTIONS, ["x"])  # type: ignore[arg-type]


def test_digests_and_examples_are_those_of_the_skill(new_stack: NewStack):
    memory, stack = ScoreCache(), new_stack(modules=())
    skill = memory.skill("arithmetic", OPTIONS)
    assert memory.digest(skill, "train") == skill.digest("train")
    assert memory.digest(skill, "test") == skill.digest("test")
    examples = memory.encoded(stack, skill, 200)
    assert len(examples) == 4
    assert memory.encoded(stack, skill, 200) is examples
    assert memory.encoded(stack, skill, 199) is not examples


def test_a_score_is_measured_once_for_the_same_modules(new_stack: NewStack, monkeypatch: pytest.MonkeyPatch):
    measured: list[tuple[str, ...]] = []

    def counting(stack: Any, skill: Any, **kwargs: Any) -> Any:
        measured.append(stack.path)
        return score_with_answers(stack, skill, **kwargs)

    monkeypatch.setattr(module, "score_with_answers", counting)
    memory, stack = ScoreCache(), new_stack(modules=("first", "second"))
    skill = memory.skill("arithmetic", OPTIONS)
    found = {}
    for path in ((), ("first",), ("first", "second"), ("first",)):
        with stack.active(*path):
            found[path] = memory.score(stack, skill, 2)
            assert found[path] == score(stack, skill, limit=2), "what would be measured again, to the last bit"
    assert measured == [(), ("first",), ("first", "second")]
    with stack.active("first"):
        memory.score(stack, skill, 1)
    assert len(measured) == 4, "fewer examples are another score"


def test_a_path_of_other_weights_is_measured_anew(new_stack: NewStack):
    memory = ScoreCache()
    skill = memory.skill("arithmetic", OPTIONS)
    one, other = new_stack(modules=("first",)), new_stack(modules=("second", "first"))
    with one.active("first"), other.active("second", "first"):
        losses = [memory.score(stack, skill, 2).loss for stack in (one, other)]
    assert losses[0] != losses[1]


def test_the_bare_base_is_scored_once_for_all_stacks_on_it(new_stack: NewStack):
    memory = ScoreCache()
    skill = memory.skill("arithmetic", OPTIONS)
    one, other = new_stack(modules=("first",)), new_stack(modules=("second", "first"))
    with one.active("first"):
        found = memory.base_score(one, skill, 2)
    with other.active():
        assert found == score(other, skill, limit=2)
    assert memory.base_score(other, skill, 2) is found


def test_modes_that_share_a_path_share_its_score(new_stack: NewStack):
    memory, stack = ScoreCache(), new_stack(modules=("first",))
    skill = memory.skill("arithmetic", OPTIONS)
    scores = memory.mode_scores(stack, skill, ("first",), 2, routed=False)
    assert scores["oracle"] == scores["all"]
    assert set(scores) == {"oracle", "all"}
    base = memory.mode_scores(stack, skill, (), 2, routed=False)
    assert base["oracle"]["loss"] != base["all"]["loss"]
    assert base["all"] == scores["all"]


def test_merged_modules_score_the_same(new_stack: NewStack):
    stack = new_stack(modules=("first", "second"))
    calls: list[str] = []
    for site in stack.sites().values():
        for key, part in site.parts.items():
            part.register_forward_pre_hook(lambda *_, key=key: calls.append(key))
    scores = []
    for merged in (False, True):
        memory = ScoreCache()
        skill = memory.skill("arithmetic", OPTIONS)
        scores.append(memory.mode_scores(stack, skill, ("first",), 2, routed=False, merged=merged))
        assert bool(calls) != merged, "as one change of weights, or every part by itself"
        calls.clear()
    for mode in ("oracle", "all"):
        assert scores[0][mode]["loss"] == pytest.approx(scores[1][mode]["loss"], rel=1e-5)
