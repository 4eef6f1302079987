"""Progressive prompts: a new prefix for every skill, read beside the frozen ones of all earlier skills.

Razdaibiedina et al. 2023, "Progressive Prompts: Continual Learning for Language Models" (arXiv 2301.12314), section 3:
while skill k is learned, the prompts P_1 ... P_k are in front of the tokens and only P_k is trained; at test the skill
is named, and its prompts 1 ... k are used. That is a stack's own rule: a module is grown on all earlier ones, and its
path ends with it.

What differs: a prefix of keys and values in every layer (kind ``prefix``) instead of vectors in front of the
embeddings, each prefix with a softmax of its own instead of one over all: so a new prefix changes nothing when it is
attached, and earlier skills keep their outputs to the last bit. There is no reparametrisation by a residual MLP, which
the authors train through. Cost per step: forward through all prefixes, backward down to the lowest layer with one; the
sequence does not become longer. Proved by tests/golden/test_progressive_prompts.py.
"""

from typing import TYPE_CHECKING

from growlm.methods.method import Method
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds
from growlm.skills.skill import Skill

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


class ProgressivePrompts(Method):
    """Adds a new prefix for every skill beside the frozen ones of all earlier skills.

    Args:
        length: how many learned keys and values each prefix has for every head of a layer.
        scale: what is read of a prefix is multiplied by it.
        layers: indices of the decoder layers; None: all.
    """

    inference = "oracle"

    def __init__(self, length: int = 16, scale: float = 16.0, layers: list[int] | None = None) -> None:
        self.length = length
        self.scale = scale
        self.layers = layers

    def build(self, stack: "ModuleStack", skill: Skill) -> dict[str, ModuleKind]:
        """Build a prefix; see ``Method.build``."""
        options = {"length": self.length, "scale": self.scale, "layers": self.layers}
        return {"prefix": module_kinds.build("prefix", options)}
