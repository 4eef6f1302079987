"""What the methods share that go on training the same weights: each phase's result is a new version of one module."""

from abc import abstractmethod
from typing import TYPE_CHECKING

from growlm.manifest.path import Path
from growlm.methods.method import Method
from growlm.modules.kind import ModuleKind
from growlm.skills.skill import Skill

if TYPE_CHECKING:
    from growlm.manifest.manifest import ModuleRecord
    from growlm.stack.stack import ModuleStack


WRAPPED = "sequential"
"""What a wrapping method wraps unless its option ``method`` says otherwise."""


class VersionedMethod(Method):
    """Begins with the values of the last module of the same kinds and supersedes it; the first begins at nothing.

    Attributes:
        wrapper: name of the method that wraps this one, such as ``replay``; records have that name then, and this
            method's as their option ``method``.
    """

    wrapper: str | None = None

    @abstractmethod
    def kinds(self) -> dict[str, ModuleKind]:
        """Gives the kinds that are trained on and on."""

    def build(self, stack: "ModuleStack", skill: Skill) -> dict[str, ModuleKind]:
        """Builds the same kinds in every phase; see ``Method.build``."""
        return self.kinds()

    def grow_on(self, stack: "ModuleStack", on: Path) -> Path:
        """Stands on what the last version stands on; the first version on the path that was asked for."""
        last = self._last_version(stack)
        return on if last is None else last.parents

    def continues(self, stack: "ModuleStack") -> str | None:
        """Names the last version."""
        last = self._last_version(stack)
        return None if last is None else last.name

    def _last_version(self, stack: "ModuleStack") -> "ModuleRecord | None":
        options = {name: kind.options() for name, kind in self.kinds().items()}
        versions = [
            record
            for record in stack.manifest.modules
            if self._made(record) and record.kinds == options and record.name in stack.manifest.current()
        ]
        return versions[-1] if versions else None

    def _made(self, record: "ModuleRecord") -> bool:
        own = type(self).__module__.rpartition(".")[2]
        if self.wrapper is None:
            return bool(record.method["name"] == own)
        wrapped = record.method["options"].get("method", WRAPPED)
        return bool(record.method["name"] == self.wrapper and wrapped == own)
