"""What several phases of one process need alike, computed once: skills, encoded examples, digests, scores.

A score is remembered for the path and the stack that it was measured with, down to the digests of all modules. What an
older path computes is not supposed to change when something is grown, but that is what is to be shown: so it is
measured again.
"""

import json
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any, TypeVar

from growlm.data.digest import ExamplesDigest
from growlm.data.encode import Encoded, encode_windows
from growlm.data.example import Example, Message, Split
from growlm.files import combined_digest, tensor_digests
from growlm.manifest.path import Path as StackPath
from growlm.manifest.recorded_skill import names_data, recorded_skill
from growlm.manifest.records import ModuleRecord
from growlm.metrics.routed import RoutedScore, Turns, find_turns, routed_score_with_answers
from growlm.metrics.scoring import Answer, Score, score_with_answers
from growlm.registry import skills
from growlm.routing.update import SkillPrompts
from growlm.skills.metric import Metric
from growlm.skills.skill import Skill
from growlm.stack.stack import ModuleStack

T = TypeVar("T")


class ScoredOn(Skill):
    """The same skill, scored on another of its splits, so that choices are never made on the test split.

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


class ScoreCache:
    """Remembers for as long as it is kept; every phase has one of its own unless it shares another's.

    Args:
        split: the split that skills are scored on.
    """

    def __init__(self, split: Split = "test") -> None:
        self._split: Split = split
        self._known: dict[Hashable, Any] = {}

    def skill(self, name: str, options: Mapping[str, Any], metric: Metric | None = None) -> Skill:
        """Build a skill; the same name, options and metric give the same object.

        Args:
            name: the skill's name.
            options: its options.
            metric: what it is scored by; None: its own metric.
        """
        key = ("skill", name, json.dumps(options, sort_keys=True, default=str))
        return self._scored_by(key, metric, lambda: skills.build(name, options))

    def recorded_skill(self, record: ModuleRecord, trust_data: bool) -> Skill:
        """Build the skill of a recorded module, scored as then: a column of the accuracy matrix has one metric.

        Raises:
            GrowlmError: see ``growlm.manifest.recorded_skill``.
        """
        metric, options = record.recipe.get("metric"), record.skill.get("options", {})
        if not names_data(options):
            return self.skill(record.skill["name"], options, metric)
        return self._scored_by(("skill", record.digest), metric, lambda: recorded_skill(record, trust_data))

    def _scored_by(self, key: tuple[Hashable, ...], metric: Metric | None, build: Callable[[], Skill]) -> Skill:
        skill = self.get_or_compute(key, lambda: self._on_split(build()))
        return skill if metric is None else self.get_or_compute((*key, str(metric)), lambda: skill.scored_by(metric))

    def _on_split(self, skill: Skill) -> Skill:
        return skill if self._split == "test" else ScoredOn(skill, self._split)

    def digest(self, skill: Skill, split: Split) -> str:
        """Compute the digest of a skill's split."""
        return self.get_or_compute(("digest", skill, split), lambda: skill.digest(split))

    def encoded(self, stack: ModuleStack, skill: Skill, max_length: int) -> list[Encoded]:
        """Encode a skill's training examples for a stack's base, and compute their digest on the way.

        Args:
            stack: the stack.
            skill: the skill.
            max_length: greatest number of tokens of an example; a longer text becomes several.

        Returns:
            The examples.

        Raises:
            GrowlmError: naming the first example that cannot be used.
        """
        key = ("encoded", stack.manifest.base.digest, skill, max_length)
        tokenizer, digest = stack.tokenizer, ExamplesDigest()

        def compute() -> list[Encoded]:
            examples = digest.reading(skill.examples("train"))
            windows = [window for example in examples for window in encode_windows(example, tokenizer, max_length)]
            self._known["digest", skill, "train"] = digest.hexdigest()
            return windows

        return self.get_or_compute(key, compute)

    def prompts(self, stack: ModuleStack, skill: Skill) -> SkillPrompts:
        """Return what draws a skill's prompts for a stack's base, each of them once."""
        return self.get_or_compute(
            ("prompts", stack.manifest.base.digest, skill), lambda: SkillPrompts(skill, stack.tokenizer)
        )

    def score(self, stack: ModuleStack, skill: Skill, limit: int | None) -> Score:
        """Score a skill's test split with the path that is active, all of whose modules are frozen.

        Args:
            stack: the stack.
            skill: the skill.
            limit: greatest number of examples, from the first on; None: all.
        """
        return self._scored(stack, skill, limit)[0]

    def base_score(self, stack: ModuleStack, skill: Skill, limit: int | None) -> Score:
        """Score a skill's test split on the bare base, once for all stacks on it.

        Args:
            stack: a stack on the base.
            skill: the skill.
            limit: greatest number of examples, from the first on; None: all.
        """
        key = ("base score", stack.manifest.base.digest, str(stack.device), str(stack.dtype), skill, limit)
        with stack.active():
            return self.get_or_compute(key, lambda: self.score(stack, skill, limit))

    def answers(self, stack: ModuleStack, skill: Skill, limit: int | None) -> tuple[Answer, ...]:
        """Return the answers behind ``score``; none for a metric without questions."""
        return self._scored(stack, skill, limit)[1]

    def _scored(self, stack: ModuleStack, skill: Skill, limit: int | None) -> tuple[Score, tuple[Answer, ...]]:
        key = ("score", self._state(stack), stack.path, skill, limit)
        return self.get_or_compute(key, lambda: score_with_answers(stack, skill, limit=limit))

    def routed(
        self, stack: ModuleStack, skill: Skill, own: StackPath, limit: int | None, measured: Mapping[StackPath, Score]
    ) -> tuple[RoutedScore, tuple[Answer, ...]]:
        """Score a skill's test split with the router choosing, and return the answers behind the score.

        Args:
            stack: the stack, with all its modules frozen.
            skill: the skill.
            own: the path that is right for it.
            limit: greatest number of examples, from the first on; None: all.
            measured: scores of the same examples by some paths.
        """
        turns = self.turns(stack, skill, limit)
        return self.get_or_compute(
            ("routed", self._state(stack), _router_state(stack), own, skill, limit),
            lambda: routed_score_with_answers(stack, skill, own, limit=limit, known=measured, turns=turns),
        )

    def turns(self, stack: ModuleStack, skill: Skill, limit: int | None) -> Turns:
        """Find the answers that a skill's test split is scored by, once for all stacks on a base."""
        key = ("turns", stack.manifest.base.digest, skill, limit)
        return self.get_or_compute(key, lambda: find_turns(stack, skill, limit=limit))

    @staticmethod
    def _state(stack: ModuleStack) -> Hashable:
        modules = tuple(
            (record.name, record.digest, json.dumps(record.kinds, sort_keys=True)) for record in stack.manifest.modules
        )
        return stack.manifest.base.digest, modules, str(stack.device), str(stack.dtype)

    def mode_scores(
        self,
        stack: ModuleStack,
        skill: Skill,
        own: StackPath,
        limit: int | None,
        routed: bool,
        merged: bool = False,
    ) -> dict[str, dict[str, Any]]:
        """Score a skill's test split in every inference mode, each path once.

        Args:
            stack: the stack, with all its modules frozen.
            skill: the skill.
            own: the path that is right for it.
            limit: greatest number of examples, from the first on; None: all.
            routed: let the stack's router choose, too.
            merged: run the modules of a path as one change of weights where they are such; the same up to rounding.

        Returns:
            By mode, the fields of its score.
        """
        measured: dict[StackPath, Score] = {}
        for path in (own, stack.manifest.current()):
            with stack.active(*path), stack.frozen_merged() if merged else nullcontext():
                measured[path] = self.score(stack, skill, limit)
        scores = {"oracle": asdict(measured[own]), "all": asdict(measured[stack.manifest.current()])}
        if routed:
            scores["routed"] = asdict(self.routed(stack, skill, own, limit, measured)[0])
        return scores

    def get_or_compute(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return what was computed under a key, or computes it.

        Args:
            key: what the result is a function of.
            compute: computes it.
        """
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]


def _router_state(stack: ModuleStack) -> Hashable:
    """Identify a router: stacks with the same modules may have different ones."""
    router = stack.router
    return None if router is None else (router.name, combined_digest(tensor_digests(router.state_dict())))
