"""Bringing a stack's router up to its modules, at the end of a phase."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from growlm.data.example import Split
from growlm.errors import GrowlmError
from growlm.manifest.path import BASE
from growlm.registry import routers
from growlm.routing.prompts import drawn_prompts
from growlm.routing.router import DrawPrompts, Prompts, Router
from growlm.skills.skill import Skill

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


class SkillPrompts:
    """Draws the prompts of a skill, each split once.

    Args:
        skill: the skill.
        tokenizer: the base's tokenizer.
    """

    def __init__(self, skill: Skill, tokenizer: Any) -> None:
        self._skill = skill
        self._tokenizer = tokenizer
        self._drawn: dict[tuple[Split, int, bool], Prompts] = {}

    def __call__(self, split: Split, limit: int, *, augment: bool = False) -> Prompts:
        """Draw prompts of a split; see ``drawn_prompts``."""
        key = (split, limit, augment)
        if key not in self._drawn:
            self._drawn[key] = drawn_prompts(self._skill, split, self._tokenizer, limit, augment)
        return self._drawn[key]


def next_router(stack: "ModuleStack", name: str, options: Mapping[str, Any] | None = None) -> Router:
    """Return the router that a phase trains: the stack's own if it is the one that is asked for, or a new one.

    The stack's own goes on with options that are not asked for as it has them: one of an earlier version, or grown with
    options of its own, would else have to learn again from data of earlier skills, which may be gone.

    Args:
        stack: the stack.
        name: the router's name.
        options: the options that are asked for.

    Returns:
        The router.

    Raises:
        GrowlmError: for an unknown name or option, or a router that does not work on the stack's base.
    """
    asked: Router = routers.build(name, options)
    if stack.architecture.has_encoder and not asked.encoder_decoder:
        usable = [name for name in routers if routers.get(name).encoder_decoder]
        raise GrowlmError(f"router {name!r} does not work on an encoder-decoder: use {', '.join(usable)}, or none")
    own = stack.router
    if not isinstance(own, Router) or own.name != asked.name:
        return asked
    own_options, asked_options = own.options(), asked.options()
    return own if all(own_options[key] == asked_options[key] for key in options or {}) else asked


def update_router(stack: "ModuleStack", router: Router, draws: Mapping[str, DrawPrompts]) -> None:
    """Train a router on the modules of a stack that it does not know yet, and make it the stack's own.

    With the router of the last phase that is the newest module alone, and no earlier skill's data is touched. The
    result is a function of the router as it was, the stack and the prompts.

    Args:
        stack: the stack with all its modules frozen.
        router: the router.
        draws: for ``base`` and each module, what draws the prompts of its skill.
    """
    for name in unlearned_modules(stack, router):
        router.learn(stack, name, draws[name])
    stack.router = router


def unlearned_modules(stack: "ModuleStack", router: Router, growing: str | None = None) -> Iterator[str]:
    """Yield what a router does not know yet: ``base``, the stack's modules with a skill, one that is growing."""
    skilled = (record.name for record in stack.manifest.modules if record.skill)
    names = (BASE, *skilled, *([growing] if growing else []))
    return (name for name in names if name not in router.known())
