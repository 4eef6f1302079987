"""Incremental LoRA: a new low-rank change for every skill, the earlier ones frozen, all summed (IncLoRA).

LoRA is Hu et al. 2021 (arXiv 2106.09685); the baseline is that of O-LoRA (Wang et al. 2023, arXiv 2310.14152). A
skill's own path ends with its own change; the sum of all, which the baseline means, is the inference mode ``all``.
Cost per step: forward through all changes, backward down to the lowest site. Proved by
tests/contracts/test_every_method.py.
"""

from typing import TYPE_CHECKING

from growlm.methods.method import Method
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds
from growlm.skills.skill import Skill

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


class LoraIncremental(Method):
    """Adds a new low-rank change for every skill on top of all earlier ones.

    Args:
        rank: rank of each change.
        target_modules: names of the linears, such as q_proj; None: all linears of the layers.
    """

    encoder_decoder = True

    def __init__(self, rank: int = 8, target_modules: list[str] | None = None) -> None:
        self.rank = rank
        self.target_modules = target_modules

    def build(self, stack: "ModuleStack", skill: Skill) -> dict[str, ModuleKind]:
        """Build a low-rank change; see ``Method.build``."""
        return {"lora": module_kinds.build("lora", {"rank": self.rank, "target_modules": self.target_modules})}
