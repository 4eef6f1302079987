"""The router that a phase trains, and how it is brought up to a stack's modules."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from growlm.base.load import load_tokenizer
from growlm.data.example import Example, Split
from growlm.routing.arrow import Arrow
from growlm.routing.ridge import Ridge
from growlm.routing.update import SkillPrompts, next_router
from growlm.skills.skill import Skill


@pytest.mark.parametrize("options", [None, {}, {"width": 20}, {"width": 20, "augment": False}])
def test_the_stacks_own_router_goes_on(new_stack: Any, options: dict[str, Any] | None):
    stack = new_stack()
    stack.router = own = Ridge(width=20, last_words=0, augment=False)
    assert next_router(stack, "ridge", options) is own


@pytest.mark.parametrize(
    ("name", "options"), [("ridge", {"width": 30}), ("ridge", {"width": 20, "augment": True}), ("arrow", {})]
)
def test_what_the_own_router_is_not_is_made_anew(new_stack: Any, name: str, options: dict[str, Any]):
    stack = new_stack()
    stack.router = Ridge(width=20, last_words=0, augment=False)
    made = next_router(stack, name, options)
    assert made is not stack.router
    assert made.options() == {"ridge": Ridge, "arrow": Arrow}[name](**options).options()


class Counted(Skill):
    """A skill that counts how often it is read."""

    metric = "loss"
    times = 0

    def examples(self, split: Split) -> Iterator[Example]:
        self.times += 1
        yield Example("x", prompt="The cat sat. The dog ran.", completion=" yes")


def test_prompts_are_drawn_once_with_copies_and_once_without(tiny_bases: dict[str, Path]):
    skill = Counted()
    draw = SkillPrompts(skill, load_tokenizer(tiny_bases["llama"]))
    assert len(draw("train", 5)) == len(draw("train", 5)) == 1
    assert len(draw("train", 5, augment=True)) == len(draw("train", 5, augment=True)) == 4
    assert skill.times == 2
