"""The Lightning trainer of growlm: its ``fit`` runs a whole phase."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from growlm.manifest.store import WORK
from growlm.train.grow import Grown, grow_phase
from growlm.train.lightning_logging import suppress_lightning_notices
from growlm.train.machine import keep_freed_memory
from growlm.train.phase import GrowPhase
from growlm.train.precision import fastest_precision
from growlm.train.progress import PhaseProgress
from growlm.train.resume import AtomicCheckpointIO, ResumeCheckpoint, StepSeed

_DEFAULTS = {
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "deterministic": True,
}


class GrowTrainer(Trainer):
    """A Lightning trainer with growlm's defaults, whose ``fit`` grows a ``GrowPhase`` from attaching to saving.

    Args:
        max_steps: steps of the phase.
        precision: Lightning's name of a precision; None: the faster of bf16-mixed and 32-true on this machine.
        gradient_clip_val: greatest norm of the gradient.
        checkpoint_every: steps between two states of the resume file.
        logger: a Lightning logger, or False.
        callbacks: further callbacks.
        **kwargs: what Lightning's trainer takes besides.
    """

    def __init__(
        self,
        *,
        max_steps: int = 600,
        precision: Any = None,
        gradient_clip_val: float | None = 1.0,
        checkpoint_every: int = 50,
        logger: Any = False,
        callbacks: list[Callback] | Callback | None = None,
        **kwargs: Any,
    ) -> None:
        self.grown: Grown | None = None
        self._checkpoint_every = checkpoint_every
        further = callbacks if isinstance(callbacks, list) else [callbacks] if callbacks else []
        # changed in place: only so does the command line see that the rest goes to Lightning's trainer
        for key, value in _DEFAULTS.items():
            if kwargs.get(key) is None:
                kwargs[key] = value
        kwargs["plugins"] = [*(kwargs.get("plugins") or []), AtomicCheckpointIO()]
        with suppress_lightning_notices():
            super().__init__(
                max_steps=max_steps,
                precision=precision or fastest_precision(),
                gradient_clip_val=gradient_clip_val,
                logger=logger,
                callbacks=further,
                **kwargs,
            )

    def fit(self, model: LightningModule, *args: Any, progress: PhaseProgress | None = None, **kwargs: Any) -> None:
        """Grows a phase; anything else is fitted as Lightning does.

        Args:
            model: the phase.
            *args: as for Lightning's trainer; not used for a phase.
            progress: what shows how the phase goes on; None: a bar, or lines, on stderr.
            **kwargs: likewise.

        Raises:
            GrowlmError: see ``growlm.train.grow.grow_phase``.
            KeyboardInterrupt: if the phase was interrupted; the same command continues it.
        """
        if not isinstance(model, GrowPhase):
            super().fit(model, *args, **kwargs)
            return
        keep_freed_memory()
        progress = progress or PhaseProgress(f"grow {model.name}")
        checkpoint = ResumeCheckpoint(model.folder / WORK, {}, self._checkpoint_every, every_n_seconds=0)
        callbacks: list[Callback] = self.callbacks  # type: ignore[attr-defined]  # Lightning sets it in a connector
        callbacks += [progress, checkpoint, StepSeed(model.seed)]
        self.grown = grow_phase(model, lambda resume: self._train(model, resume), int(self.max_steps), progress.say)

    def _train(self, phase: GrowPhase, resume: Path | None) -> None:
        try:
            with suppress_lightning_notices():
                super().fit(phase, ckpt_path=resume, weights_only=True)
        except SystemExit:  # what Lightning makes of Ctrl-C
            step = self.global_step
            raise KeyboardInterrupt(
                f"interrupted at step {step} of {self.max_steps}; run the same command again to continue"
            ) from None
