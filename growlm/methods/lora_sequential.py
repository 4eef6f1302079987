"""Sequential LoRA: one low-rank change that every skill trains further (SeqLoRA).

LoRA is Hu et al. 2021 (arXiv 2106.09685). As sequential fine-tuning, it does nothing against forgetting.
Cost per step: forward through the path, backward down to the lowest site. Proved by
tests/contracts/test_every_method.py.
"""

from growlm.methods.method import VersionedMethod
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds


class LoraSequential(VersionedMethod):
    """Continues training one low-rank change, skill after skill.

    Args:
        rank: rank of the change.
        target_modules: names of the linears, such as q_proj; None: all linears of the layers.
    """

    encoder_decoder = True

    def __init__(self, rank: int = 8, target_modules: list[str] | None = None) -> None:
        self.rank = rank
        self.target_modules = target_modules

    def kinds(self) -> dict[str, ModuleKind]:
        """Return a low-rank change."""
        return {"lora": module_kinds.build("lora", {"rank": self.rank, "target_modules": self.target_modules})}
