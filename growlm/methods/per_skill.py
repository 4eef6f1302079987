"""Per-skill fine-tuning: a full copy of the weights for each skill, alone on the bare base (PerTaskFT).

The upper bound for methods that keep skills apart: it needs to be given the skill, and stores a whole model for each.
The weights are kept as a difference to the frozen base (kind ``dense``). Cost per step: forward and backward through
everything, and a second product for every linear. Proved by tests/contracts/test_every_method.py.
"""

from typing import TYPE_CHECKING, Literal

from growlm.manifest.path import Path
from growlm.methods.method import Method
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds
from growlm.skills.skill import Skill

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


class PerSkill(Method):
    """Fine-tunes the bare base for each skill separately.

    Args:
        weights: ``all`` weights of the base, or the ``linears`` of its layers only.
    """

    inference = "oracle"
    encoder_decoder = True

    def __init__(self, weights: Literal["all", "linears"] = "all") -> None:
        self.weights = weights

    def grow_on(self, stack: "ModuleStack", on: Path) -> Path:
        """Return the empty path: the bare base."""
        return ()

    def build(self, stack: "ModuleStack", skill: Skill) -> dict[str, ModuleKind]:
        """Build a full difference of the chosen weights; see ``Method.build``."""
        return {"dense": module_kinds.build("dense", {"weights": self.weights})}
