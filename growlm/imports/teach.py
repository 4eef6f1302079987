"""What an imported module gets where its skill is known: the skill's record, its scores, and a router that knows it."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from growlm.data.sources import is_own_data, skill_of_data
from growlm.errors import GrowlmError
from growlm.manifest.changes import BASE_SKILL
from growlm.manifest.path import BASE
from growlm.manifest.recorded_skill import keep_data, portable, recorded_skill
from growlm.registry import routers, skills
from growlm.routing.router import Router
from growlm.routing.update import SkillPrompts, next_router, unlearned_modules, update_router
from growlm.skills.skill import Skill
from growlm.stack.stack import ModuleStack
from growlm.train.config import PhaseConfig
from growlm.train.score_cache import ScoreCache

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NamedSkill:
    """A skill by its name, with its options.

    Args:
        name: the skill's name.
        options: its options.
        skill: the skill.
    """

    name: str
    options: dict[str, Any]
    skill: Skill

    @classmethod
    def of(cls, asked: str, options: Mapping[str, Any] | None = None) -> "NamedSkill":
        """Build a skill from its name, or from data of the user's own.

        Args:
            asked: the skill's name, or a file, folder, glob or data set.
            options: options of the skill.

        Raises:
            GrowlmError: if there is no such skill, or the data cannot be read.
        """
        name, own = skill_of_data(asked) if is_own_data(asked) else (asked, {})
        chosen = {**own, **(options or {})}
        return cls(name, chosen, skills.build(name, chosen))

    def record(self) -> dict[str, Any]:
        """Return what the record of a module says of its skill."""
        digests = {f"{split}_digest": self.skill.digest(split) for split in ("train", "test")}
        return {"name": self.name, "options": portable(self.options), **digests}


def learn_skill(stack: ModuleStack, named: NamedSkill, num_scored: int) -> None:
    """Score the newest module on its skill as a phase does, and let the stack's router learn it.

    Args:
        stack: the stack; the record of its newest module names the skill.
        named: the skill.
        num_scored: greatest number of test examples that are scored.

    Raises:
        GrowlmError: if an example cannot be used or scored.
    """
    record = stack.manifest.modules[-1]
    teach_router(stack, stack.router or routers.build(PhaseConfig.router), {record.name: named.skill})
    routed = isinstance(stack.router, Router) and record.name in stack.router.known()
    cache = ScoreCache()
    _logger.info("scoring %s on the bare base, on its own path and on the whole stack", record.name)
    base = asdict(cache.base_score(stack, named.skill, num_scored))
    modes = cache.mode_scores(stack, named.skill, record.path, num_scored, routed)
    record = replace(record, scores={record.name: {"base": base, **modes}})
    stack.manifest = replace(stack.manifest, modules=(*stack.manifest.modules[:-1], record))
    keep_data(record, named.options)


def teach_router(stack: ModuleStack, like: object, known: Mapping[str, Skill], trust_data: bool = False) -> None:
    """Let a stack's router learn what it does not know yet; if it cannot, a warning says why.

    Args:
        stack: the stack.
        like: the router, or one of the sort and options that a new one is to have.
        known: skills of modules that are built already.
        trust_data: read the data files and hub ids that records name.
    """
    if not isinstance(like, Router):
        return
    router = next_router(stack, like.name, like.options())
    records = {record.name: record for record in stack.manifest.modules}
    try:
        draws = {
            name: SkillPrompts(
                skills.build(BASE_SKILL, {})
                if name == BASE
                else known.get(name) or recorded_skill(records[name], trust_data),
                stack.tokenizer,
            )
            for name in unlearned_modules(stack, router)
        }
    except GrowlmError as error:
        _logger.warning("the router does not learn the module: %s", error)
        return
    update_router(stack, router, draws)
