"""What a training prints: its progress, and less of Lightning's own notices."""

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from growlm.progress import Advance, track

_logger = logging.getLogger(__name__)
_LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")

# message (beginning, as a regular expression): why it is of no use to whoever runs a phase
_NEEDLESS = {
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated": "Lightning calls torch's own pytree in its old way",
    r".*does not have many workers": "batches come from a memory map; a worker would only compete for the cores",
    r".*torch\.jit\.": "torch deprecates its own helpers that Lightning and inductor still use",
    r".*The \.grad attribute of a Tensor that is not a leaf": "dynamo looks at the inputs of what it compiles",
    r".*lr_scheduler\.step": "the schedule is a function of the step, no scheduler object",
    r".*Found keys that are in the model state dict but not in the checkpoint": "only trained tensors are saved",
}


class PhaseProgress(Callback):
    """Shows step, loss, tokens per second and remaining time.

    The loss is ``"mean_loss"`` of what ``training_step`` returned, or ``"loss"`` of it, as a moving average.

    Args:
        label: what is trained, such as ``"pretrain nano"``.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self._open = ExitStack()
        self._advance: Advance | None = None
        self._loss: float | None = None
        self._started_at, self._tokens, self._step = 0.0, 0, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar."""
        self._started_at, self._tokens, self._step, self._loss = time.monotonic(), 0, trainer.global_step, None
        if trainer.global_step:
            _logger.info("%s: resumed after step %d", self.label, trainer.global_step)
        self._advance = self._open.enter_context(track(trainer.max_steps, self.label, trainer.global_step))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Advance the bar by the steps taken since the last batch: none while gradients are accumulated."""
        loss = float(outputs.get("mean_loss", outputs["loss"]))
        self._loss = loss if self._loss is None else 0.9 * self._loss + 0.1 * loss
        self._tokens += int(batch.input_ids.numel()) * trainer.world_size
        rate = self._tokens / max(time.monotonic() - self._started_at, 1e-9)
        if self._advance is not None and trainer.global_step > self._step:
            self._advance(trainer.global_step - self._step, f"loss {self._loss:.3f}, {rate:,.0f} tokens/s")
            self._step = trainer.global_step

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._open.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the bar, so that the error begins on a line of its own."""
        self._open.close()


@contextmanager
def suppress_lightning_notices() -> Iterator[None]:
    """Silence Lightning's notices within the block; its errors, and warnings not listed here, still come through."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in _NEEDLESS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
