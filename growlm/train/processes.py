"""What a training on several processes has counted in all."""

from collections.abc import Mapping
from typing import Any

import torch


class OtherProcesses:
    """Counts of a training's other processes, those before an interruption included.

    A saved state has the counts of the first process, and every process begins with them again: what the others had
    counted until then is saved beside, and each adds what it has counted since.

    Attributes:
        counts: ``tokens``, ``rows``, ``replayed_rows`` and ``extra_forward_rows`` when last asked; 0 without others.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._before: Mapping[str, int] = {}
        self._restored: Mapping[str, int] = {}

    def ask(self, trainer: Any, method: Any, tokens: int, rows: int) -> dict[str, int]:
        """Add up what the others have counted; every process has to call it.

        Args:
            trainer: the Lightning trainer.
            method: this process's method.
            tokens: tokens that this process has trained on.
            rows: rows that it has trained on.

        Returns:
            ``counts``.
        """
        own = _counted(method, tokens, rows)
        since = torch.tensor(
            [count - self._restored.get(name, 0) for name, count in own.items()], device=trainer.strategy.root_device
        )
        others = (trainer.strategy.reduce(since.clone(), reduce_op="sum") - since).tolist()
        self.counts = {name: self._before.get(name, 0) + count for name, count in zip(own, others, strict=True)}
        return self.counts

    def restore(self, before: Mapping[str, int], method: Any, tokens: int, rows: int) -> None:
        """Go on from a saved state.

        Args:
            before: what ``ask`` returned when it was saved.
            method: this process's method, as the state has it.
            tokens: likewise.
            rows: likewise.
        """
        self._before, self._restored = before, _counted(method, tokens, rows)


def _counted(method: Any, tokens: int, rows: int) -> dict[str, int]:
    counts = {"tokens": tokens, "rows": rows}
    return counts | {"replayed_rows": method.replayed_rows, "extra_forward_rows": method.extra_forward_rows}
