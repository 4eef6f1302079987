import logging
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from growlm.train.progress import PhaseProgress, suppress_lightning_notices


def trainer_at(global_step: int, max_steps: int = 4) -> Any:
    return SimpleNamespace(global_step=global_step, max_steps=max_steps, world_size=1)


def after_batch(progress: PhaseProgress, trainer: Any, stepped: bool = True, **outputs: float) -> None:
    trainer.global_step += stepped
    batch = SimpleNamespace(input_ids=torch.zeros(2, 8))
    values = {name: torch.tensor(value) for name, value in outputs.items()}
    progress.on_train_batch_end(trainer, SimpleNamespace(), values, batch, 0)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    monkeypatch.setattr("growlm.progress.LOG_SECONDS", 0.0)
    caplog.set_level(logging.INFO, "growlm")
    return caplog


def test_a_line_has_step_loss_and_rate(lines: pytest.LogCaptureFixture):
    progress, trainer = PhaseProgress("pretrain toy"), trainer_at(0)
    progress.on_train_start(trainer, SimpleNamespace())
    after_batch(progress, trainer, loss=3.0)
    after_batch(progress, trainer, loss=2.0)
    progress.on_train_end(trainer, SimpleNamespace())
    assert lines.messages[0].startswith("pretrain toy: 1/4, loss 3.000, ")
    assert lines.messages[1].startswith("pretrain toy: 2/4, loss 2.900, ")
    assert "tokens/s" in lines.messages[1]


def test_a_weighted_loss_is_shown_without_its_weight(lines: pytest.LogCaptureFixture):
    progress, trainer = PhaseProgress("grow toy"), trainer_at(0)
    progress.on_train_start(trainer, SimpleNamespace())
    after_batch(progress, trainer, loss=12.0, mean_loss=3.0)
    assert "loss 3.000" in lines.messages[0]


def test_batches_whose_gradients_accumulate_are_one_step(lines: pytest.LogCaptureFixture):
    progress, trainer = PhaseProgress("grow toy"), trainer_at(0)
    progress.on_train_start(trainer, SimpleNamespace())
    after_batch(progress, trainer, stepped=False, loss=3.0)
    assert lines.messages == []
    after_batch(progress, trainer, loss=3.0)
    assert lines.messages[0].startswith("grow toy: 1/4")


def test_a_resumed_training_says_where(lines: pytest.LogCaptureFixture):
    progress, trainer = PhaseProgress("grow toy"), trainer_at(2)
    progress.on_train_start(trainer, SimpleNamespace())
    after_batch(progress, trainer, loss=3.0)
    assert lines.messages[0] == "grow toy: resumed after step 2"
    assert lines.messages[1].startswith("grow toy: 3/4")


def test_an_error_ends_the_loop(lines: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    progress, trainer = PhaseProgress("grow toy"), trainer_at(0)
    progress.on_train_start(trainer, SimpleNamespace())
    after_batch(progress, trainer, loss=3.0)
    monkeypatch.setattr("growlm.progress.LOG_SECONDS", 60.0)
    after_batch(progress, trainer, loss=3.0)
    progress.on_exception(trainer, SimpleNamespace(), KeyboardInterrupt())
    assert lines.messages[-1].startswith("grow toy: 2/4")


def test_lightnings_notices_are_suppressed_and_levels_restored():
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    before = logger.level
    with suppress_lightning_notices():
        assert not logger.isEnabledFor(logging.INFO)
        assert logger.isEnabledFor(logging.ERROR)
    assert logger.level == before


def test_other_warnings_come_through():
    with suppress_lightning_notices():
        warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated", FutureWarning, stacklevel=1)
        with pytest.warns(UserWarning, match="something new"):
            warnings.warn("something new", UserWarning, stacklevel=1)
