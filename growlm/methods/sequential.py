"""Sequential fine-tuning: all weights, one skill after the other, nothing done against forgetting.

The lower bound of every comparison (SeqFT). The weights that move are kept as a difference to the frozen base (kind
``dense``), so that each phase can be verified and undone; what is trained is the same. Cost per step: forward and
backward through everything, and a second product for every linear. Proved by tests/contracts/test_every_method.py.
"""

from typing import Literal

from growlm.methods.method import VersionedMethod
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds


class Sequential(VersionedMethod):
    """Continues fine-tuning the same weights, skill after skill.

    Args:
        weights: ``all`` weights of the base, or the ``linears`` of its layers only.
    """

    encoder_decoder = True

    def __init__(self, weights: Literal["all", "linears"] = "all") -> None:
        self.weights = weights

    def kinds(self) -> dict[str, ModuleKind]:
        """Return a full difference of the chosen weights."""
        return {"dense": module_kinds.build("dense", {"weights": self.weights})}
