"""Validation while a phase trains: the loss on the skill's own validation split every n steps."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from growlm.data.encode import Encoded, encode
from growlm.errors import GrowlmError
from growlm.metrics.scoring import token_sums
from growlm.stack.stack import ModuleStack
from growlm.train.config import PhaseConfig
from growlm.train.prepare import Prepared


class Validation(Callback):
    """Measures the validation loss, keeps the best module if asked, and ends a training that gets no better.

    Args:
        config: the options of the phase; nothing happens if ``validate_every`` is 0.

    Attributes:
        losses: the steps after which the loss was measured, and the loss in nats per trained token.
    """

    def __init__(self, config: PhaseConfig) -> None:
        self._config = config
        self._examples: list[Encoded] = []
        self._best: dict[str, Tensor] = {}
        self._step = 0
        self.losses: list[tuple[int, float]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Encode the validation examples.

        Raises:
            GrowlmError: if there is none.
        """
        self._step = trainer.global_step
        if not self._config.validate_every or self._examples:
            return
        prepared = _prepared(pl_module)
        tokenizer, room = prepared.stack.tokenizer, prepared.stack.context_length
        examples = islice(prepared.skill.examples("validation"), self._config.num_scored)
        self._examples = [encode(example, tokenizer, room) for example in examples]
        if not self._examples:
            raise GrowlmError(f"skill {self._config.skill!r} has no validation examples: leave validate_every out")

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Measure the loss after every n-th step."""
        step, every = trainer.global_step, self._config.validate_every
        if not every or step == self._step:  # gradients are being accumulated
            return
        self._step = step
        if step % every and step != trainer.max_steps:
            return
        loss = self._measure(trainer, _prepared(pl_module))
        pl_module.log("validation_loss", loss)
        if self._config.keep_best and loss < min((value for _, value in self.losses), default=float("inf")):
            self._best = {key: value.detach().clone() for key, value in _prepared(pl_module).trained.items()}
        self.losses.append((step, round(loss, 4)))
        values = [value for _, value in self.losses]
        if self._config.patience and len(values) - 1 - values.index(min(values)) >= self._config.patience:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the best module's values back."""
        for key, value in self._best.items():
            _prepared(pl_module).trained[key].data.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs."""
        return {"losses": [list(point) for point in self.losses], "best": dict(self._best)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.losses = [(int(step), float(loss)) for step, loss in state_dict["losses"]]
        self._best = dict(state_dict["best"])

    def _measure(self, trainer: Trainer, prepared: Prepared) -> float:
        with scoring_in_training(trainer, prepared.stack):
            return token_sums(prepared.stack, self._examples).loss


@contextmanager
def scoring_in_training(trainer: Trainer, stack: ModuleStack) -> Iterator[None]:
    """Score a stack in the middle of its training, for a ``with`` block.

    Args:
        trainer: the trainer.
        stack: the stack that it trains.
    """
    stack.eval()
    try:
        # frozen weights may be held for its autocast
        with torch.no_grad(), trainer.precision_plugin.val_step_context():
            yield
    finally:
        stack.train()


def _prepared(phase: Any) -> Prepared:
    prepared: Prepared = phase.prepared
    return prepared
