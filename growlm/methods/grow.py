"""Modular growth: a new module for every skill, trained alone on a frozen stack.

growlm's own method. The low-rank changes are after LoRA (arXiv 2106.09685), inserted blocks, where asked for, after
LLaMA Pro (arXiv 2401.02415); unlike both, a module is one of many on a stack that keeps its history, and everything
older is compared byte for byte. Cost per step: forward through the path, backward down to the lowest site.
Proved by tests/contracts/test_every_method.py.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from growlm.data.batches import StepBatches
from growlm.errors import GrowlmError
from growlm.merging.moments import gather_moments
from growlm.methods.method import Method
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds
from growlm.skills.skill import Skill

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

DEFAULT_MODULE: dict[str, dict[str, Any]] = {"lora": {"rank": 32}, "embedding": {"rank": 32}}


class Grow(Method):
    """Attaches a new module and trains nothing else.

    Args:
        module: the module's kinds and their options, such as ``{"lora": {"rank": 8}}``; None: low-rank changes of
            all linears and, except on an encoder-decoder, of the token embedding.
        fusible: keep second moments of the layers' inputs, by which modules are fused when the skill's data are gone;
            about as large as a module of rank 64.
    """

    inference = "routed"
    encoder_decoder = True

    def __init__(self, module: dict[str, dict[str, Any]] | None = None, fusible: bool = False) -> None:
        self.module: Mapping[str, dict[str, Any]] = DEFAULT_MODULE if module is None else module
        self._is_default = module is None
        self.fusible = fusible
        if not self.module:
            raise GrowlmError("method 'grow' needs a module with at least one kind, such as lora")

    def build(self, stack: "ModuleStack", skill: Skill) -> dict[str, ModuleKind]:
        """Build the kinds that were asked for; see ``Method.build``."""
        kinds: dict[str, ModuleKind] = {
            kind: module_kinds.build(kind, options) for kind, options in self.module.items()
        }
        has_encoder = stack.architecture.has_encoder
        if has_encoder and self.fusible:
            raise GrowlmError("modules on an encoder-decoder cannot be fused: leave fusible out")
        if has_encoder and self._is_default:
            return {name: kind for name, kind in kinds.items() if kind.encoder_decoder}
        return kinds

    def end(self, stack: "ModuleStack", batches: StepBatches) -> dict[str, Tensor]:
        """Measure the layers' inputs if the module is to be fusible; see ``Method.end``."""
        return gather_moments(stack, batches.examples) if self.fusible else {}
