"""What every phase shares so that killing it loses only seconds and changes no bit of its result.

Lightning restores its loops' counters and the state of any data loader that has ``state_dict``. A phase is one epoch
of as many batches as it has steps; ``StepLoader`` goes on at the batch after the last one that was trained, and
``StepSeed`` makes what is random in a step a function of seed and step.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.io import CheckpointIO

from growlm.errors import GrowlmError
from growlm.files import atomic_path

BatchT = TypeVar("BatchT")
RESUME_FILE = "resume.ckpt"


class AtomicCheckpointIO(CheckpointIO):
    """Writes a checkpoint in one step, so that a crash leaves the one before; reads tensors and plain values only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Writes a checkpoint to a temporary file, which then replaces ``path``."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Reads a checkpoint; an object that is neither tensor nor plain value is refused.

        Raises:
            GrowlmError: if the file is damaged or holds anything else.
        """
        try:
            return torch.load(path, map_location=map_location or "cpu", weights_only=True)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise GrowlmError(f"{path} is damaged ({reason}): remove it to begin the phase again") from error

    def remove_checkpoint(self, path: Any) -> None:
        """Removes a checkpoint."""
        Path(path).unlink(missing_ok=True)


class ResumeCheckpoint(Callback):
    """Saves the whole state of a phase now and then to ``<folder>/resume.ckpt``.

    Give ``resume_path(folder)`` to ``trainer.fit`` as ``ckpt_path``; call ``finish`` when the result is on disk.

    Args:
        folder: the phase's work folder.
        settings: what the result depends on; a state that was saved under other settings is refused.
        every_n_steps: save after so many steps, 0 for never.
        every_n_seconds: save when so many seconds have passed since the last time, 0 for never.
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
        self._saved_at = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Gives what the saved state belongs to."""
        return {"settings": self.settings}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Checks that the saved state belongs to this phase.

        Raises:
            GrowlmError: if it was saved under other settings.
        """
        saved: dict[str, Any] = state_dict["settings"]
        for key in [*self.settings, *saved]:
            if saved.get(key) != self.settings.get(key):
                raise GrowlmError(
                    f"{self.folder / RESUME_FILE} holds an unfinished phase with {key}={saved.get(key)!r}, now it is "
                    f"{self.settings.get(key)!r}: go on with the old settings, or remove the file to begin again"
                )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to count the seconds."""
        self._saved_at = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Saves if it is time."""
        by_step = self.every_n_steps > 0 and trainer.global_step % self.every_n_steps == 0
        late = time.monotonic() - self._saved_at >= self.every_n_seconds > 0
        # all processes save together, so the first one's clock decides
        by_time = bool(trainer.strategy.broadcast(late)) if self.every_n_seconds > 0 else False
        if by_step or by_time:
            trainer.save_checkpoint(self.folder / RESUME_FILE)
            self._saved_at = time.monotonic()

    def finish(self) -> None:
        """Removes the state: the phase's result is on disk."""
        (self.folder / RESUME_FILE).unlink(missing_ok=True)


def resume_path(folder: Path) -> Path | None:
    """Gives the state to resume from, if there is one."""
    path = folder / RESUME_FILE
    return path if path.exists() else None


class StepLoader(Generic[BatchT]):
    """A data loader over the steps of a phase that goes on where a saved phase stopped.

    Args:
        batch: builds the batch of a step, a pure function of it.
        num_steps: steps of the phase in all.
    """

    def __init__(self, batch: Callable[[int], BatchT], num_steps: int) -> None:
        self._batch = batch
        self._num_steps = num_steps
        self._next = 0

    def __len__(self) -> int:
        return self._num_steps

    def __iter__(self) -> Iterator[BatchT]:
        while self._next < self._num_steps:
            batch = self._batch(self._next)
            self._next += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Gives the number of batches handed out."""
        return {"next": self._next}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Goes on after the batches that were handed out before."""
        self._next = state_dict["next"]


class StepSeed(Callback):
    """Seeds every step from (seed, step), so that dropout is the same after a resume.

    Args:
        seed: seed of the phase.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Seeds the global random state; every process draws its own numbers."""
        torch.manual_seed(step_seed(self.seed, trainer.global_step, trainer.global_rank))


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """Derives the random seed of a step, so that neighbouring steps and seeds share nothing."""
    digest = hashlib.sha256(f"{seed} {step} {rank}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
