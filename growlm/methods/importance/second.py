"""Second order: (w g)², twice the second term of the loss's series, with g² for the diagonal of the Hessian.

That is the Fisher information; one of the orders of KIF (Feng et al. 2025, arXiv 2408.05200 v4). Proved by
tests/golden/test_tasl.py.
"""

from torch import Tensor

from growlm.methods.importance.measure import ImportanceMeasure


class SecondOrder(ImportanceMeasure):
    """The change of the loss without the element, its second order alone: (w g)²."""

    def sensitivity(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """Compute (w g)²; see ``ImportanceMeasure.sensitivity``."""
        return (weight * gradient).square()
