"""Options of Lightning's trainer on the command line: each works, or is one line."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from growlm.manifest.manifest import read_manifest
from tests.e2e.conftest import STEPS, Files, Outcome, complaints

Command = Callable[[Sequence[object]], Outcome]


@pytest.mark.filterwarnings("ignore:You passed .Trainer.accelerator='cpu', precision='16-mixed'")  # bf16 is taken
@pytest.mark.parametrize(
    ("option", "steps"),
    [
        ("accumulate_grad_batches=2", STEPS),
        ("max_time=00:01:00:00", STEPS),
        ("limit_train_batches=5 --trainer.max_epochs=1", 5),
        ("max_epochs=1", STEPS),  # all steps are one epoch of Lightning's
        ("limit_val_batches=0", STEPS),
        ("precision=16-mixed", STEPS),
        ("precision=bf16-mixed", STEPS),
        ("precision=32", STEPS),
        ("gradient_clip_val=0.5", STEPS),
    ],
)
def test_what_works(command: Command, files: Files, tmp_path: Path, option: str, steps: int) -> None:
    words = files.grow(tmp_path / "stack", "--router", "none", *f"--trainer.{option}".split())
    outcome = command(words)
    assert outcome.status == 0, outcome.err
    (record,) = read_manifest(tmp_path / "stack").modules
    assert record.cost["steps"] == steps
    assert (f"ended early, after {steps} of {STEPS} steps" in outcome.err) == (steps < STEPS)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("trainer.limit_val_batches=2", "limit_val_batches of the trainer has no effect"),
        ("trainer.limit_test_batches=2", "limit_test_batches of the trainer has no effect"),
        ("trainer.precision=bf16-true", "give one of 32-true, bf16-mixed, 16-mixed"),
        ("trainer.precision=16-true", "give one of 32-true, bf16-mixed, 16-mixed"),
        ("trainer.precision=64-true", "give one of 32-true, bf16-mixed, 16-mixed"),
        ("optimizer=SGD", "--optimizer is not offered"),
        ("lr_scheduler=StepLR", "--lr_scheduler is not offered"),
    ],
)
def test_what_is_one_line(command: Command, files: Files, tmp_path: Path, option: str, said: str) -> None:
    outcome = command(files.grow(tmp_path / "stack", f"--{option}"))
    assert outcome.status == 2
    (line,) = complaints(outcome)
    assert said in " ".join(line.split())
    assert not (tmp_path / "stack" / "stack.json").exists()
