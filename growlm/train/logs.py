"""What a phase writes to Lightning's loggers."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class PhaseLog(Callback):
    """Logs settings, learning rate, speed, and the scores before and after; the phase itself logs its losses."""

    def __init__(self) -> None:
        self._tokens, self._time = 0, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the settings and the scores of the bare base."""
        phase: Any = pl_module
        for logger in trainer.loggers:
            logger.log_hyperparams(_plain(phase.prepared.settings))
            logger.log_metrics(_flat("before", {name: {"base": s} for name, s in phase.scores_before.items()}), step=0)
        self._tokens, self._time = phase.tokens_seen, time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Log learning rate and speed with the loss, as often as the trainer logs."""
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set in a connector
        if not trainer.loggers or (trainer.global_step + 1) % every:
            return
        tokens, now = getattr(pl_module, "tokens_seen", 0), time.monotonic()
        if now > self._time:
            # the other processes take as many examples
            pl_module.log("tokens_per_second", trainer.world_size * (tokens - self._tokens) / (now - self._time))
        pl_module.log("learning_rate", float(trainer.optimizers[0].param_groups[0]["lr"]))
        self._tokens, self._time = tokens, now

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Log the scores of the grown stack."""
        grown = getattr(pl_module, "grown", None)
        if grown is not None:
            for logger in trainer.loggers:
                logger.log_metrics(_flat("after", grown.record.scores), step=trainer.global_step)


def _flat(prefix: str, scores: Any) -> dict[str, float]:
    """Name every number of some scores: ``after/chat/oracle/loss``."""
    return {
        f"{prefix}/{skill}/{mode}/{key}": float(score[key])
        for skill, modes in scores.items()
        for mode, score in modes.items()
        for key in ("value", "loss")
        if score.get(key) is not None
    }


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as loggers take them: numbers and text, lists and dicts as text."""
    return {
        key: value if isinstance(value, (int, float, str, bool)) else str(value)
        for key, value in settings.items()
        if value is not None
    }
