"""Joint training: one module for all skills of a stream, trained on all of them at once (multi-task learning, MTL).

The upper bound of sequential methods, and the yardstick of composition: what could be learned if all data came
together. It learns one skill that is several: ``mixture``. By default everything is fine-tuned, kept as a difference to
the frozen base (kind ``dense``); with ``module`` any kinds are trained instead, to compare on equal parameters. On a
mixture of one skill it is ``per_skill``. Cost per step: as ``per_skill``; steps: as many as the phases of the stream
have together, for equal cost. Proved by tests/golden/test_joint.py.
"""

from typing import TYPE_CHECKING, Any, Literal

from growlm.errors import GrowlmError
from growlm.manifest.path import Path
from growlm.methods.method import Method
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds
from growlm.skills.skill import Skill

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


class Joint(Method):
    """Trains one module on all skills of a stream at once, alone on the bare base.

    Args:
        weights: ``all`` weights of the base, or the ``linears`` of its layers only.
        module: instead of the weights, kinds to train and their options, such as ``{"lora": {"rank": 8}}``.
    """

    at_once = True
    encoder_decoder = True

    def __init__(
        self, weights: Literal["all", "linears"] = "all", module: dict[str, dict[str, Any]] | None = None
    ) -> None:
        self.module = {"dense": {"weights": weights}} if module is None else module
        if not self.module:
            raise GrowlmError("method 'joint' needs a module with at least one kind, such as lora; or leave it out")

    def grow_on(self, stack: "ModuleStack", on: Path) -> Path:
        """Return the empty path: the bare base."""
        return ()

    def build(self, stack: "ModuleStack", skill: Skill) -> dict[str, ModuleKind]:
        """Build a full difference, or the kinds that were asked for; see ``Method.build``."""
        return {kind: module_kinds.build(kind, options) for kind, options in self.module.items()}
