"""The shared parts of resuming, on a phase of a few numbers."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from growlm.errors import GrowlmError
from growlm.train.progress import suppress_lightning_notices
from growlm.train.resume import (
    AtomicCheckpointIO,
    ResumeCheckpoint,
    StepLoader,
    StepSeed,
    resume_path,
    step_seed,
)

STEPS = 9


class Killed(BaseException):
    """Takes the place of the end of the process."""


class Kill(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if trainer.global_step == self.step:
            raise Killed


class Send(Callback):
    """Sends a signal to this process in a step."""

    def __init__(self, number: int, step: int) -> None:
        self.number, self.step = number, step

    def on_train_batch_start(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


class Phase(LightningModule):
    """Dropout and momentum, so that both the random state and the optimizer's matter."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        self.seen: list[int] = []

    def train_dataloader(self) -> StepLoader[torch.Tensor]:
        return StepLoader(lambda step: torch.full((2, 4), float(step)), STEPS)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.01)

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        self.seen.append(int(batch[0, 0]))
        return self.layers(batch).square().mean()


def run(
    folder: Path,
    *callbacks: Callback,
    kill_at: int | None = None,
    every: int = 2,
    settings: dict[str, Any] | None = None,
) -> Phase:
    phase = Phase()
    checkpoint = ResumeCheckpoint(folder, settings or {"seed": 3}, every_n_steps=every, every_n_seconds=0)
    with suppress_lightning_notices():
        trainer = Trainer(
            max_steps=STEPS,
            max_epochs=1,
            accelerator="cpu",
            callbacks=[StepSeed(3), checkpoint, *callbacks, *([Kill(kill_at)] if kill_at else [])],
            plugins=[AtomicCheckpointIO()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(phase, ckpt_path=resume_path(folder), weights_only=True)
    assert trainer.global_step == STEPS
    return phase


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


@pytest.mark.parametrize("kills", [[2], [5], [8], [9], [3, 6, 7]])
def test_a_killed_phase_ends_with_the_same_bits(tmp_path: Path, kills: list[int]) -> None:
    whole = run(tmp_path / "whole")
    for kill in kills:
        with pytest.raises(Killed):
            run(tmp_path / "killed", kill_at=kill)
    resumed = run(tmp_path / "killed")
    assert same(whole, resumed)
    assert whole.seen == list(range(STEPS))
    last_saved = kills[-1] - kills[-1] % 2
    assert resumed.seen == list(range(last_saved, STEPS))


def test_a_phase_killed_before_its_first_state_begins_again(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path, kill_at=1)
    assert resume_path(tmp_path) is None
    assert run(tmp_path).seen == list(range(STEPS))


@pytest.mark.usefixtures("signals_end_commands")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_the_step_finish_and_saves_it(tmp_path: Path, number: int) -> None:
    before, whole = signal.getsignal(number), run(tmp_path / "whole")
    with pytest.raises(SystemExit):  # what Lightning makes of it
        run(tmp_path / "cut", Send(number, 4), every=0)
    assert signal.getsignal(number) == before
    resumed = run(tmp_path / "cut")
    assert resumed.seen == list(range(5, STEPS))
    assert same(whole, resumed)


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        assert run(tmp_path, Send(signal.SIGHUP, 4)).seen == list(range(STEPS))
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path, kill_at=4)
    with pytest.raises(GrowlmError, match="unfinished phase with seed=3, now it is 4"):
        run(tmp_path, settings={"seed": 4})
    with pytest.raises(GrowlmError, match="rank=None, now it is 8"):
        run(tmp_path, settings={"seed": 3, "rank": 8})


def test_a_damaged_state_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path, kill_at=4)
    path = tmp_path / "resume.ckpt"
    path.write_bytes(path.read_bytes()[:1_000])
    with pytest.raises(GrowlmError, match=r"is damaged .* remove it to begin the phase again"):
        run(tmp_path)


def test_an_object_in_a_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"path": Path("x")}, tmp_path / "evil.ckpt")
    with pytest.raises(GrowlmError, match="is damaged"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "evil.ckpt")


def test_a_failed_write_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    io, path = AtomicCheckpointIO(), tmp_path / "resume.ckpt"
    io.save_checkpoint({"step": 1}, path)

    def fail(content: object, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        io.save_checkpoint({"step": 2}, path)
    assert io.load_checkpoint(path) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["resume.ckpt"]
    io.remove_checkpoint(path)
    assert resume_path(tmp_path) is None


def test_time_based_saving_and_finishing(tmp_path: Path) -> None:
    phase = Phase()
    checkpoint = ResumeCheckpoint(tmp_path, {}, every_n_seconds=1e-9)
    with suppress_lightning_notices():
        trainer = Trainer(
            max_steps=2, accelerator="cpu", callbacks=[checkpoint], plugins=[AtomicCheckpointIO()], logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(phase)
    assert resume_path(tmp_path) is not None
    checkpoint.finish()
    assert resume_path(tmp_path) is None


def test_step_seeds_share_nothing() -> None:
    seeds = {step_seed(seed, step, rank) for seed in range(5) for step in range(20) for rank in range(2)}
    assert len(seeds) == 200
