"""First order: |w g|, by how much the loss would change if the element were zero, by the first term of its series.

The sensitivity of AdaLoRA (Zhang et al. 2023, arXiv 2303.10512, eq. 8), TaSL and KIF (Feng et al. 2024, arXiv
2408.09857 and 2408.05200). Proved by tests/golden/test_tasl.py.
"""

from torch import Tensor

from growlm.methods.importance.measure import ImportanceMeasure


class FirstOrder(ImportanceMeasure):
    """The change of the loss without the element, to the first order: |w g|."""

    def sensitivity(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """Compute |w g|; see ``ImportanceMeasure.sensitivity``."""
        return (weight * gradient).abs()
