"""The loss over a phase, as a few means."""

from typing import Any

from torch import Tensor

_POINTS = 20


class LossCurve:
    """Gathers the mean loss over each twentieth of a phase.

    Attributes:
        points: for each finished twentieth, the number of steps that it ends with, and its mean loss.
    """

    def __init__(self) -> None:
        self.points: list[tuple[int, float]] = []
        self._sum: Tensor | float = 0.0
        self._count = 0

    def add(self, loss: Tensor, step: int, num_steps: int) -> None:
        """Adds a batch's loss; a value is fetched from the device only at the end of a twentieth.

        Args:
            loss: the loss, a scalar.
            step: its step, from 0.
            num_steps: steps of the phase.
        """
        self._sum = self._sum + loss.detach().float()
        self._count += 1
        if (step + 1) * _POINTS // num_steps > step * _POINTS // num_steps:
            self.points.append((step + 1, round(float(self._sum) / self._count, 4)))
            self._sum, self._count = 0.0, 0

    def state_dict(self) -> dict[str, Any]:
        """Gives what a resumed phase needs."""
        return {"points": [list(point) for point in self.points], "sum": float(self._sum), "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what ``state_dict`` gave."""
        self.points = [(step, loss) for step, loss in state["points"]]
        self._sum, self._count = state["sum"], state["count"]
