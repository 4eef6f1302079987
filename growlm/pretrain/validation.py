"""Watching a base learn: bits per byte and a sample at regular steps, kept for its card."""

import logging
import time
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from growlm.metrics.bits_per_byte import bits_per_byte
from growlm.metrics.samples import sample_stories

_logger = logging.getLogger(__name__)


class Watch(Callback):
    """Measures and samples the model; the records outlive a resume.

    Args:
        model: the model that is trained, in the form that generates.
        tokenizer: its tokenizer.
        texts: validation documents, none for no measurement.
        every: steps between two looks, 0 for none.

    Attributes:
        curve: one record per look: step, tokens, seconds, loss (mean since the last look), bits_per_byte.
        samples: one record per look: step, text.
        tokens: trained tokens so far, padding left out.
        seconds: time spent training so far, over all resumes.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        texts: Sequence[str],
        every: int,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.texts = texts
        self.every = every
        self.curve: list[dict[str, float]] = []
        self.samples: list[dict[str, Any]] = []
        self.tokens = 0
        self.seconds = 0.0
        self._loss_sum = 0.0
        self._since = 0
        self._clock = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the records."""
        return {
            "curve": self.curve,
            "samples": self.samples,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "loss_sum": self._loss_sum,
            "since": self._since,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the records."""
        self.curve, self.samples = state_dict["curve"], state_dict["samples"]
        self.tokens, self.seconds = state_dict["tokens"], state_dict["seconds"]
        self._loss_sum, self._since = state_dict["loss_sum"], state_dict["since"]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Start the clock of a step."""
        self._clock = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Count, and see whether it is time."""
        self._loss_sum += float(outputs["loss"])
        self._since += 1
        self.tokens += batch.num_tokens * trainer.world_size
        self.seconds += time.monotonic() - self._clock
        if self.every and trainer.global_step % self.every == 0 and trainer.is_global_zero:
            with torch.compiler.set_stance("force_eager"):  # other shapes than those of the steps
                self._look(trainer.global_step)

    def _look(self, step: int) -> None:
        record = {"step": step, "tokens": self.tokens, "seconds": round(self.seconds, 1)}
        record["loss"] = self._loss_sum / self._since
        self._loss_sum, self._since = 0.0, 0
        line = f"step {step}: loss {record['loss']:.4f}"
        if self.texts:
            record["bits_per_byte"] = bits_per_byte(self.model, self.tokenizer, self.texts)
            line += f", {record['bits_per_byte']:.4f} bits per byte"
        self.curve.append(record)
        sample = sample_stories(self.model, self.tokenizer, 1, seed=step, max_new_tokens=80)[0]
        self.samples.append({"step": step, "text": sample})
        _logger.info(line)
        _logger.info("  %s", " ".join(sample.split()))
