"""The loss over a phase, as records and plots have it."""

from typing import Any

from torch import Tensor

_NUM_POINTS = 20


class LossCurve:
    """The mean loss over each twentieth of a training.

    Attributes:
        points: for each finished twentieth, the number of batches that it ends with, and its mean loss.
    """

    def __init__(self) -> None:
        self.points: list[tuple[int, float]] = []
        self._sum: Tensor | float = 0.0
        self._count = 0

    def add(self, loss: Tensor, index: int, num_batches: int) -> None:
        """Add a batch's loss; a value is fetched from the device only at the end of a twentieth.

        Args:
            loss: the loss, a scalar.
            index: number of the batch, from 0.
            num_batches: batches of the training.
        """
        self._sum = self._sum + loss.detach().float()
        self._count += 1
        if (index + 1) * _NUM_POINTS // num_batches > index * _NUM_POINTS // num_batches:
            self.points.append((index + 1, round(float(self._sum) / self._count, 4)))
            self._sum, self._count = 0.0, 0

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs."""
        return {"points": [list(point) for point in self.points], "sum": float(self._sum), "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.points = [(step, loss) for step, loss in state["points"]]
        self._sum, self._count = state["sum"], state["count"]
