import io
import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from growlm.train.progress import PhaseProgress


def step(progress: PhaseProgress, trainer: Any, loss: float) -> None:
    trainer.global_step += 1
    batch = SimpleNamespace(input_ids=torch.zeros(2, 8))
    progress.on_train_batch_end(trainer, SimpleNamespace(), {"loss": torch.tensor(loss)}, batch, 0)


def trainer_at(global_step: int, max_steps: int = 4) -> Any:
    return SimpleNamespace(global_step=global_step, max_steps=max_steps, is_global_zero=True, world_size=1)


def run(terminal: bool, start: int = 0, seconds: float = 0.0) -> str:
    progress = PhaseProgress("pretrain toy", seconds=seconds)
    stream = io.StringIO()
    progress.console = Console(file=stream, force_terminal=terminal, width=120)
    trainer = trainer_at(start)
    progress.on_train_start(trainer, SimpleNamespace())
    for loss in (3.0, 2.0):
        time.sleep(0.001)
        step(progress, trainer, loss)
    progress.say("a line [with brackets]")
    progress.on_train_end(trainer, SimpleNamespace())
    return stream.getvalue()


def test_lines_where_there_is_no_terminal() -> None:
    lines = run(terminal=False).splitlines()
    assert lines[0].startswith("pretrain toy: step 1/4, loss 3.000, ")
    assert lines[1].startswith("pretrain toy: step 2/4, loss 2.900, ")
    assert "tokens/s" in lines[1]
    assert lines[1].endswith(" left")
    assert lines[2] == "a line [with brackets]"


def test_few_lines_where_steps_are_fast() -> None:
    lines = run(terminal=False, start=2, seconds=60).splitlines()
    assert lines[0] == "pretrain toy: resumed after step 2"
    assert lines[1].startswith("pretrain toy: step 4/4")  # the last step is always told
    assert len(lines) == 3


def test_a_bar_in_a_terminal() -> None:
    shown = run(terminal=True)
    assert "50%" in shown
    assert "loss 2.900" in shown
    assert "a line [with brackets]" in shown


def test_the_bar_is_closed_by_an_error() -> None:
    progress = PhaseProgress("pretrain toy")
    progress.console = Console(file=io.StringIO(), force_terminal=True)
    progress.on_train_start(trainer_at(0), SimpleNamespace())
    bar = progress._bar
    progress.on_exception(trainer_at(0), SimpleNamespace(), KeyboardInterrupt())
    assert bar is not None
    assert bar.finished is False
    assert not bar.live.is_started


def test_other_processes_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress, trainer = PhaseProgress("pretrain toy", seconds=0), trainer_at(0)
    trainer.is_global_zero = False
    progress.on_train_start(trainer, SimpleNamespace())
    step(progress, trainer, 1.0)
    assert capsys.readouterr().err == ""
