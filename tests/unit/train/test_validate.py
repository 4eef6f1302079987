"""Validation while a phase trains: the best module is kept, and a training that gets no better ends."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from growlm.errors import GrowlmError
from growlm.files import tensor_digests
from growlm.train.config import PhaseConfig
from growlm.train.phase import GrowPhase
from growlm.train.result import Grown
from growlm.train.validate import Validation

Run = Callable[..., Grown]


class Losses(Callback):
    """Sets the validation losses, and keeps what the module is after each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *losses: float) -> None:
        self.digests: list[dict[str, str]] = []
        waiting = list(losses)

        def measure(validation: Validation, trainer: Trainer, prepared: Any) -> float:
            self.digests.append(tensor_digests(prepared.stack.module_tensors("first")))
            return waiting.pop(0)

        monkeypatch.setattr(Validation, "_measure", measure)


def test_the_best_module_is_kept(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = Losses(monkeypatch, 0.7, 0.5, 0.6, 0.9)
    options = {"epochs": 4 / 13, "validate_every": 1, "keep_best": True}
    record = run("first", "best", **options).record
    assert record.cost["steps"] == 4
    assert record.cost["validation"] == [[1, 0.7], [2, 0.5], [3, 0.6], [4, 0.9]]
    assert record.tensors == losses.digests[1]
    last = Losses(monkeypatch, 0.7, 0.5, 0.6, 0.9)
    assert run("first", "last", **{**options, "keep_best": False}).record.tensors == last.digests[3]


def test_a_training_that_gets_no_better_ends(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Losses(monkeypatch, 0.7, 0.5, 0.6, 0.5, 0.4)
    record = run("first", epochs=1, validate_every=2, patience=2).record
    assert record.cost["steps"] == 8
    assert [step for step, _ in record.cost["validation"]] == [2, 4, 6, 8]


def test_the_loss_is_that_of_the_validation_split(run: Run) -> None:
    record = run("first", epochs=4 / 13, validate_every=3).record
    assert [step for step, _ in record.cost["validation"]] == [3, 4]
    assert all(0 < loss < 10 for _, loss in record.cost["validation"])


def test_a_resumed_training_keeps_what_it_measured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException): ...

    class Kill(Callback):
        def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
            if trainer.global_step == 3:
                raise Killed

    options = {"epochs": 4 / 13, "validate_every": 1, "keep_best": True, "checkpoint_every": 2}
    losses = Losses(monkeypatch, 0.7, 0.5, 0.6)
    with pytest.raises(Killed):
        run("first", "killed", Kill(), **options)
    best = losses.digests[1]
    Losses(monkeypatch, 0.6, 0.9)
    record = run("first", "killed", **options).record
    assert record.cost["validation"] == [[1, 0.7], [2, 0.5], [3, 0.6], [4, 0.9]]
    assert record.tensors == best


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep_best": True}, "keep_best and patience need the validation loss: give validate_every"),
        ({"patience": 2}, "keep_best and patience need"),
        ({"epochs": 0}, "epochs 0 is not a number of times"),
        ({"epochs": float("nan")}, "epochs nan is not a number"),
        ({"validate_every": -1}, "validate_every -1 is too small"),
        ({"strict": True}, "strict and on_bad are for data of your own, which 'chat' does not read"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GrowlmError, match=message):
        PhaseConfig("chat", **options)


def test_without_validation_nothing_is_kept() -> None:
    assert GrowPhase("chat").validation.state_dict() == {"losses": [], "best": {}}
    restored = Validation(PhaseConfig("chat"))
    restored.load_state_dict({"losses": [[2, 0.5]], "best": {"a": torch.ones(1)}})
    assert restored.losses == [(2, 0.5)]
