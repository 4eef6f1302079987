"""Progress of a phase: a bar in a terminal, one line every few seconds elsewhere, both on stderr."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


class PhaseProgress(Callback):
    """Shows step, loss, rate and remaining time.

    The loss is what ``training_step`` returned (``"loss"`` of it), averaged over the last steps.

    Args:
        label: what is being trained, such as ``"pretrain nano"``.
        unit: what ``count_units`` counts, such as ``"tokens"``.
        seconds: time between two lines where there is no terminal.
    """

    def __init__(self, label: str, unit: str = "tokens", seconds: float = 10.0) -> None:
        self.label = label
        self.unit = unit
        self.seconds = seconds
        self.console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task: Any = None
        self._loss = 0.0
        self._begun_at = self._shown_at = 0.0
        self._begun_step = self._units = 0

    def count_units(self, batch: Any) -> int:
        """Counts what the rate is given in: the tokens of a batch."""
        return int(batch.input_ids.numel())

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Opens the bar."""
        self._begun_at = self._shown_at = time.monotonic()
        self._begun_step, self._units = trainer.global_step, 0
        if not trainer.is_global_zero:
            return
        if self._begun_step:
            self.console.print(f"{self.label}: resumed after step {self._begun_step}", highlight=False)
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn(self.label),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[state]}"),
                TimeRemainingColumn(),
                console=self.console,
            )
            total = trainer.max_steps
            self._task = self._bar.add_task("", total=total, completed=self._begun_step, state="")
            self._bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Moves the bar or prints a line."""
        loss = float(outputs["loss"])
        done = trainer.global_step - self._begun_step
        self._loss = loss if done <= 1 else 0.9 * self._loss + 0.1 * loss
        self._units += self.count_units(batch) * trainer.world_size
        if not trainer.is_global_zero:
            return
        now = time.monotonic()
        rate = self._units / max(now - self._begun_at, 1e-9)
        state = f"loss {self._loss:.3f}, {rate:,.0f} {self.unit}/s"
        if self._bar is not None:
            self._bar.update(self._task, completed=trainer.global_step, state=state)
        elif now - self._shown_at >= self.seconds or trainer.global_step == trainer.max_steps:
            self._shown_at = now
            left = (trainer.max_steps - trainer.global_step) * (now - self._begun_at) / done
            self.say(f"{self.label}: step {trainer.global_step}/{trainer.max_steps}, {state}, {_clock(left)} left")

    def say(self, line: str) -> None:
        """Prints a line without disturbing the bar."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Closes the bar."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Closes the bar, so that the error begins on a line of its own."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
