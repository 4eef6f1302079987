"""Methods that go on training the same weights: each version begins where the last one ended and answers for it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from growlm.data.example import Example, Split
from growlm.errors import GrowlmError
from growlm.registry import methods
from growlm.skills.skill import Skill
from growlm.stack.stack import ModuleStack
from tests.contracts.conftest import disturb, freeze, tokens


class NoSkill(Skill):
    """A skill that is never asked for examples."""

    metric = "exact_match"

    def examples(self, split: Split) -> Iterator[Example]:
        raise AssertionError(split)


def phase(stack: ModuleStack, method: str, name: str, options: dict[str, Any] | None = None) -> None:
    """Do what a phase does to the stack, without training."""
    member = methods.build(method, options)
    kinds = member.build(stack, NoSkill())
    on = member.grow_on(stack, stack.manifest.current())
    continues = member.continues(stack)
    stack.attach(name, kinds, on, continues=continues)
    disturb(stack, name, seed=len(name))
    freeze(stack, name, kinds)
    *earlier, last = stack.manifest.modules
    last = replace(
        last, method={"name": method, "options": options or {}}, supersedes=(continues,) if continues else ()
    )
    stack.manifest = replace(stack.manifest, modules=(*earlier, last))


@pytest.fixture
def stack(tiny_bases: dict[str, Path]) -> ModuleStack:
    return ModuleStack.from_base(str(tiny_bases["llama"])).eval()


@pytest.mark.parametrize("method", ["sequential", "lora_sequential"])
def test_the_newest_version_answers_for_all(stack: ModuleStack, method: str) -> None:
    phase(stack, method, "one")
    assert stack.path_of("one") == ("one",)
    phase(stack, method, "three")
    phase(stack, method, "seven")
    assert [stack.path_of(name) for name in ("one", "three", "seven")] == [("seven",)] * 3
    assert stack.manifest.current() == ("seven",)
    stack.undo()
    assert stack.path_of("one") == ("three",)


@pytest.mark.parametrize("method", ["sequential", "lora_sequential"])
def test_a_version_begins_where_the_last_one_ended(stack: ModuleStack, method: str) -> None:
    phase(stack, method, "one")
    with stack.active("one"):
        before = stack(tokens()).logits
    member = methods.build(method)
    kinds = member.build(stack, NoSkill())
    stack.attach("two", kinds, member.grow_on(stack, ("one",)), seed=7, continues=member.continues(stack))
    assert stack.path == ("two",)
    assert torch.equal(stack(tokens()).logits, before)


def test_other_options_begin_anew(stack: ModuleStack) -> None:
    phase(stack, "lora_sequential", "one")
    assert methods.build("lora_sequential", {"rank": 3}).continues(stack) is None
    kinds = methods.build("lora_sequential", {"rank": 3}).build(stack, NoSkill())
    with pytest.raises(GrowlmError, match="other kinds or options"):
        stack.attach("two", kinds, (), continues="one")
    assert "two" not in stack.parents()


def test_skills_kept_apart_answer_for_themselves(stack: ModuleStack) -> None:
    phase(stack, "per_skill", "one")
    phase(stack, "per_skill", "two")
    phase(stack, "lora_incremental", "three")
    assert [stack.path_of(name) for name in ("one", "two", "three")] == [("one",), ("two",), ("one", "two", "three")]


def test_a_wrapped_method_finds_its_own_versions_only(stack: ModuleStack) -> None:
    phase(stack, "sequential", "plain")
    phase(stack, "replay", "wrapped")  # sequential unless another method is named
    phase(stack, "replay", "held", {"method": "ewc"})
    phase(stack, "ewc", "alone")
    assert stack.manifest.current() == ("plain", "wrapped", "held", "alone")
    expected = {"sequential": "plain", "ewc": "alone", "lwf": None}
    assert {name: methods.build(name).continues(stack) for name in expected} == expected
    replayed = {"sequential": "wrapped", "ewc": "held", "lwf": None}
    for name, last in replayed.items():
        assert methods.build("replay", {"method": name}).continues(stack) == last
    assert methods.build("replay").continues(stack) == "wrapped"
    phase(stack, "replay", "again", {"method": "sequential", "share": 0.5})
    assert stack.path_of("wrapped") == ("plain", "again")
