"""Mixed order: |w g - (w g)² / 2|, the loss's series up to the second order, with g² for the diagonal of the Hessian.

The measure of KIF (Feng et al. 2025, arXiv 2408.05200 v4). Proved by tests/golden/test_tasl.py.
"""

from torch import Tensor

from growlm.methods.importance.measure import ImportanceMeasure


class MixedOrder(ImportanceMeasure):
    """The change of the loss without the element, to the second order: |w g - (w g)² / 2|."""

    def sensitivity(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """Compute |w g - (w g)² / 2|; see ``ImportanceMeasure.sensitivity``."""
        product = weight * gradient
        return (product - product.square() / 2).abs()
