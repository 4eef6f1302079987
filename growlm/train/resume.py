"""What every training shares so that killing it loses only seconds and changes no bit of its result.

Lightning restores its loops' counters and the state of any data loader that has ``state_dict``. A phase is one epoch
of all its batches; ``StepLoader`` continues at the batch after the last one that was trained, and ``StepSeed`` makes
what is random in a step a function of seed and step.
"""

import hashlib
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.io import CheckpointIO

from growlm.errors import GrowlmError
from growlm.files import atomic_path
from growlm.signals import hand_back, take_over

BatchT = TypeVar("BatchT")
RESUME_FILE = "resume.ckpt"
_logger = logging.getLogger(__name__)


class AtomicCheckpointIO(CheckpointIO):
    """Writes a checkpoint in one step, so that a crash leaves the one before; reads tensors and plain values only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint to a temporary file, which then replaces ``path``."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; an object that is neither tensor nor plain value is refused.

        Raises:
            GrowlmError: if the file is damaged or holds anything else.
        """
        try:
            return torch.load(path, map_location=map_location or "cpu", weights_only=True)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise GrowlmError(f"{path} is damaged ({reason}): remove it to begin the phase again") from error

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)


class ResumeCheckpoint(Callback):
    """Saves a training's state to ``<folder>/resume.ckpt``: now and then, at its end, and when it is interrupted.

    Ctrl-C, SIGTERM and SIGHUP let the step finish, save the state and raise ``KeyboardInterrupt``; a second one stops
    at once. A signal that is ignored, as under ``nohup``, stays so. Give ``resume_path(folder)`` to ``trainer.fit`` as
    ``ckpt_path``; call ``finish`` when the result is on disk.

    Args:
        folder: the training's work folder.
        settings: what the result depends on; a state that was saved under other settings is refused.
        every_n_steps: steps between two saves, 0 for never.
        every_n_seconds: seconds after which the next step's end saves, 0 for never.

    Attributes:
        saved_step: the step at which a training resumes from the saved state; None: it begins anew.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str | int | float | bool | None],
        every_n_steps: int = 0,
        every_n_seconds: float = 60.0,
    ) -> None:
        self.folder = folder
        self.settings = dict(settings)
        self.every_n_steps = every_n_steps
        self.every_n_seconds = every_n_seconds
        self.saved_step: int | None = None
        self._saved_at = time.monotonic()
        self._step = 0
        self._interrupted = False
        self._handlers: dict[int, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """Return what the saved state belongs to."""
        return {"settings": self.settings}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Check that the saved state belongs to this training.

        Raises:
            GrowlmError: if it was saved under other settings.
        """
        saved: dict[str, Any] = state_dict["settings"]
        for key in [*self.settings, *saved]:
            if saved.get(key) != self.settings.get(key):
                raise GrowlmError(
                    f"{self.folder / RESUME_FILE} holds an unfinished phase with {key}={saved.get(key)!r}, now it is "
                    f"{self.settings.get(key)!r}: continue with the old settings, or remove the file to begin again"
                )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, and take over the signals."""
        self._saved_at = time.monotonic()
        self._step = trainer.global_step
        self.saved_step = trainer.global_step or None
        self._interrupted = False
        self._handlers = take_over(self._interrupt)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Save at the end of a step if it is time.

        Raises:
            KeyboardInterrupt: if a signal asked for the end.
        """
        if trainer.global_step == self._step:  # gradients are being accumulated, which no state keeps
            return
        self._step = trainer.global_step
        late = time.monotonic() - self._saved_at >= self.every_n_seconds > 0
        # all processes save together: one that was interrupted, or the first one's clock, decides
        interrupted, late = _of_any(trainer, self._interrupted, late)
        if interrupted or late or (self.every_n_steps > 0 and self._step % self.every_n_steps == 0):
            self._save(trainer)
        if interrupted:
            raise KeyboardInterrupt

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end, so that what follows can be repeated without training again."""
        self._restore_signals()
        if trainer.global_step and trainer.global_step != self.saved_step:
            self._save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Hand the signals back."""
        self._restore_signals()

    def finish(self) -> None:
        """Remove the state: the result is on disk."""
        (self.folder / RESUME_FILE).unlink(missing_ok=True)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.folder / RESUME_FILE)
        self.saved_step, self._saved_at = trainer.global_step, time.monotonic()

    def _interrupt(self, number: int, frame: object) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        _logger.info("%s: finishing the step and saving the state", signal.Signals(number).name)

    def _restore_signals(self) -> None:
        hand_back(self._handlers)
        self._handlers = {}


def _of_any(trainer: Trainer, *flags: bool) -> list[bool]:
    """Return for each flag whether it is set in any process."""
    if trainer.world_size == 1:
        return list(flags)
    values = torch.tensor(flags, dtype=torch.float32, device=trainer.strategy.root_device)
    total: Any = trainer.strategy.reduce(values, reduce_op="sum")
    return [bool(value) for value in total > 0]


def resume_path(folder: Path) -> Path | None:
    """Return the state to resume from, if there is one."""
    path = folder / RESUME_FILE
    return path if path.exists() else None


class StepLoader(Generic[BatchT]):
    """A data loader over the batches of a training that continues where a saved one stopped.

    Args:
        batch: builds the batch of an index, a pure function of it.
        num_batches: batches of the training in all.
    """

    def __init__(self, batch: Callable[[int], BatchT], num_batches: int) -> None:
        self._batch = batch
        self._num_batches = num_batches
        self._next = 0

    def __len__(self) -> int:
        return self._num_batches

    def __iter__(self) -> Iterator[BatchT]:
        while self._next < self._num_batches:
            batch = self._batch(self._next)
            self._next += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the number of batches handed out."""
        return {"next": self._next}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Continue after the batches that were handed out before."""
        self._next = state_dict["next"]


class StepSeed(Callback):
    """Seeds every step from (seed, step), so that dropout is the same after a resume.

    Args:
        seed: seed of the phase.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Seed the global random state; every process draws its own numbers."""
        torch.manual_seed(step_seed(self.seed, trainer.global_step, trainer.global_rank))


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """Derive the random seed of a step, so that neighbouring steps and seeds share nothing."""
    digest = hashlib.sha256(f"{seed} {step} {rank}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
