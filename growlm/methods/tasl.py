"""TaSL: the weights go on being trained, and where a unit mattered to earlier skills its earlier values count.

Feng et al. 2024, "TaSL: Continual Dialog State Tracking via Task Skill Localization and Consolidation" (ACL 2024, arXiv
2408.09857; arXiv 2408.05200 v1 is of the same name). A unit is a matrix, by default each A and each B of a low-rank
change. During a phase the importance of every unit is measured (the formulas are in ``importance/``), at its end
min-max normalised over the model, and the units are fused with what they were before the phase:

    important to earlier skills, and to the new one: 0.3 new + 0.7 earlier
    to earlier skills only: earlier     to the new one only: new     to neither: 0.5 new + 0.5 earlier

Important are the 20 % of units with the highest importance, to the new skill I_t and to the earlier ones I_{1:t-1} each
for itself; I_{1:t} = minmax(0.3 I_t + 0.7 I_{1:t-1}). The first phase is kept as it is.

Exact: every formula, and the constants (β1 = β2 = 0.85, 0.3, 0.7, 0.5, 20 %), which are the authors' code's
(WoodScene/TaSL, which has no licence; nothing of it is here). Other than in that code: the first step counts as all do
(there it is left out); importance stays with the module, not in CSV files beside a run; what has no importance there
(the copies of tied embeddings) is not a tensor of its own here. A difference ``dense`` is scored as the weight that it
makes, base and difference together, as if the weight itself were trained. With ``fusion`` ``none``, ``average`` or
``softmax`` it is the ablation: no fusion (sequential training bit for bit), one global merge, KIF's weights.

Cost per step: that of the trained kind, and a few operations and two fp32 numbers per trained element. Kept: one fp32
number per unit, twice. Proved by tests/golden/test_tasl.py and tests/contracts/test_every_method.py.
"""

from typing import TYPE_CHECKING, Any

from torch import Tensor

from growlm.errors import GrowlmError
from growlm.methods._fusion import FusedMethod
from growlm.methods.importance.units import Units
from growlm.methods.method import Weights, lora_or_dense
from growlm.modules.kind import ModuleKind

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_DENSE = "dense."


class Tasl(FusedMethod):
    """Continues training the same weights, and fuses them unit by unit with what they were before each skill.

    Args:
        weights: what is trained: a low-rank change (``lora``), ``all`` weights of the base, or the ``linears`` of its
            layers.
        rank: rank of the low-rank change.
        target_modules: names of the linears with a low-rank change, such as q_proj; None: all linears of the layers.
        units: what is fused as one: every ``matrix``, or every ``rank`` of a low-rank change.
        options: how importance is measured and what is made of it; see ``FusedMethod``.
    """

    encoder_decoder = True

    def __init__(
        self,
        weights: Weights = "lora",
        rank: int = 8,
        target_modules: list[str] | None = None,
        units: Units = "matrix",
        **options: Any,
    ) -> None:
        if units == "rank" and weights != "lora":
            raise GrowlmError(f"tasl units 'rank' need weights 'lora', found {weights!r}: give units 'matrix'")
        super().__init__(**options)
        self.units = units
        self.weights = weights
        self.rank = rank
        self.target_modules = target_modules

    def kinds(self) -> dict[str, ModuleKind]:
        """Return a low-rank change, or a full difference of the chosen weights."""
        return lora_or_dense(self.weights, self.rank, self.target_modules)

    def frozen_weights(self, stack: "ModuleStack") -> dict[str, Tensor]:
        """Return the base's weights that differences are added to; see ``FusedMethod.frozen_weights``."""
        if self.weights == "lora":
            return {}
        base = stack.base_tensors()
        return {name: base[_stock(name)] for name in self._trained}


def _stock(name: str) -> str:
    """Return the name of the base's tensor that a difference belongs to."""
    layer, _, rest = name.removeprefix(_DENSE).rpartition(".")
    return f"{layer.removesuffix('.layer')}.{rest}"
