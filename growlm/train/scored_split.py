"""A skill that is scored on another of its splits, so that choices are never made on the test split."""

from collections.abc import Iterator
from typing import Any

from growlm.data.example import Example, Message, Split
from growlm.skills.skill import Skill


class ScoredOn(Skill):
    """The same skill, with the examples of another split as those that are tested.

    Args:
        skill: the skill.
        split: the split that is scored.
    """

    def __init__(self, skill: Skill, split: Split) -> None:
        self._skill = skill
        self._split: Split = split
        self.metric = skill.metric
        self.scoring = skill.scoring
        self.max_answer_tokens = skill.max_answer_tokens

    def examples(self, split: Split) -> Iterator[Example]:
        """Yield the split's examples; those of the scored split where the test split is asked for."""
        return self._skill.examples(self._split if split == "test" else split)

    def stateless(self, messages: tuple[Message, ...]) -> str | None:
        """Answer by the skill's own rule."""
        return self._skill.stateless(messages)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._skill, name)
