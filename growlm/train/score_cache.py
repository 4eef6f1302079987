"""What several phases of one process need alike, computed once: skills, encoded examples, digests, scores.

A score is remembered for the path and the stack that it was measured with, down to the digests of all modules. What an
older path computes is not supposed to change when something is grown, but that is what is to be shown: so it is
measured again.
"""

import json
from collections.abc import Callable, Hashable, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any, TypeVar

from growlm.data.encode import Encoded, encode_windows
from growlm.data.example import Split
from growlm.manifest.path import Path as StackPath
from growlm.metrics.routed import find_turns, routed_score
from growlm.metrics.scoring import Score, score
from growlm.registry import skills
from growlm.routing.update import SkillPrompts
from growlm.skills.metric import Metric
from growlm.skills.skill import Skill
from growlm.stack.stack import ModuleStack

T = TypeVar("T")


class ScoreCache:
    """Remembers for as long as it is kept; every phase has one of its own unless it shares another's."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Any] = {}

    def skill(self, name: str, options: Mapping[str, Any], metric: Metric | None = None) -> Skill:
        """Builds a skill; the same name, options and metric give the same object.

        Args:
            name: the skill's name.
            options: its options.
            metric: what it is scored by; None: its own metric.
        """
        key = ("skill", name, json.dumps(options, sort_keys=True, default=str))
        skill = self.get_or_compute(key, lambda: skills.build(name, options))
        return skill if metric is None else self.get_or_compute((*key, str(metric)), lambda: skill.scored_by(metric))

    def digest(self, skill: Skill, split: Split) -> str:
        """Computes the digest of a skill's split."""
        return self.get_or_compute(("digest", skill, split), lambda: skill.digest(split))

    def encoded(self, stack: ModuleStack, skill: Skill, max_length: int) -> list[Encoded]:
        """Encodes a skill's training examples for a stack's base.

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
        tokenizer = stack.tokenizer
        return self.get_or_compute(
            key,
            lambda: [
                window
                for example in skill.examples("train")
                for window in encode_windows(example, tokenizer, max_length)
            ],
        )

    def prompts(self, stack: ModuleStack, skill: Skill) -> SkillPrompts:
        """Gives what draws a skill's prompts for a stack's base, each of them once."""
        return self.get_or_compute(
            ("prompts", stack.manifest.base.digest, skill), lambda: SkillPrompts(skill, stack.tokenizer)
        )

    def score(self, stack: ModuleStack, skill: Skill, limit: int | None) -> Score:
        """Scores a skill's test split with the path that is active, all of whose modules are frozen.

        Args:
            stack: the stack.
            skill: the skill.
            limit: only the first so many examples; None: all.
        """
        modules = tuple(
            (record.name, record.digest, json.dumps(record.kinds, sort_keys=True)) for record in stack.manifest.modules
        )
        where = (stack.manifest.base.digest, modules, stack.path, str(stack.device), str(stack.dtype))
        return self.get_or_compute(("score", where, skill, limit), lambda: score(stack, skill, limit=limit))

    def mode_scores(
        self,
        stack: ModuleStack,
        skill: Skill,
        own: StackPath,
        limit: int | None,
        routed: bool,
        folded: bool = False,
    ) -> dict[str, dict[str, Any]]:
        """Scores a skill's test split in every inference mode, each path once.

        Args:
            stack: the stack, with all its modules frozen.
            skill: the skill.
            own: the path that is right for it.
            limit: only the first so many examples; None: all.
            routed: let the stack's router choose, too.
            folded: run the modules of a path as one change of weights where they are such; the same up to rounding.

        Returns:
            By mode, the fields of its score.
        """
        measured: dict[StackPath, Score] = {}
        for path in (own, stack.manifest.current()):
            with stack.active(*path), stack.frozen_merged() if folded else nullcontext():
                measured[path] = self.score(stack, skill, limit)
        scores = {"oracle": asdict(measured[own]), "all": asdict(measured[stack.manifest.current()])}
        if routed:
            key = ("turns", stack.manifest.base.digest, skill, limit)
            turns = self.get_or_compute(key, lambda: find_turns(stack, skill, limit=limit))
            scores["routed"] = asdict(routed_score(stack, skill, own, limit=limit, known=measured, turns=turns))
        return scores

    def get_or_compute(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Gives what was computed under a key, or computes it.

        Args:
            key: what the result is a function of.
            compute: computes it.
        """
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]
