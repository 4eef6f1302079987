"""Always the path of one skill that is named: what a perfect router would do."""

from typing import TYPE_CHECKING, Any

from growlm.manifest.path import BASE, Path
from growlm.routing.router import DrawPrompts, Prompts, Router

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


class Oracle(Router):
    """Always the path of one skill that is named: what a perfect router would do.

    Args:
        skill: name of the module, or ``base``.
    """

    name = "oracle"

    def __init__(self, skill: str = BASE) -> None:
        self.skill = skill

    def options(self) -> dict[str, Any]:
        """Return the options; see ``Router.options``."""
        return {"skill": self.skill}

    def known(self) -> tuple[str, ...]:
        """Return the one skill."""
        return (self.skill,)

    def learn(self, stack: "ModuleStack", name: str, draw: DrawPrompts) -> None:
        """Learn nothing: the skill is named."""

    def forget(self, name: str) -> None:
        """Forget nothing."""

    def choose(self, stack: "ModuleStack", prompts: Prompts) -> list[Path]:
        """Return the skill's path for every prompt."""
        return [stack.path_of(self.skill)] * len(prompts)
