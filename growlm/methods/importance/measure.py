"""What a measure of importance is: how much one step says that an element matters, and what many steps add up to."""

from abc import ABC, abstractmethod

from torch import Tensor


class ImportanceMeasure(ABC):
    """A measure of importance; its name is that of its file.

    Over the steps of a phase the running means of what it finds are kept, and of how far it was from them:

        s of a step,    Ī ← β1 Ī + (1 - β1) s,    Ū ← β2 Ū + (1 - β2) |s - Ī|

    so that a measure itself keeps nothing and takes no options.
    """

    @abstractmethod
    def sensitivity(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """Measure by one step how important each element is.

        Args:
            weight: w, fp32, of any shape.
            gradient: g, fp32, of the same shape.

        Returns:
            s, not below 0, of the same shape.
        """

    def score(self, mean: Tensor, deviation: Tensor) -> Tensor:
        """Compute the importance after a phase.

        Args:
            mean: Ī, fp64, of the tensor's shape.
            deviation: Ū, likewise.

        Returns:
            The importance, of the same shape; by default Ī Ū, as in AdaLoRA (Zhang et al. 2023, arXiv 2303.10512,
            eq. 11).
        """
        return mean * deviation
