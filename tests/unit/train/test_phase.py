"""A phase under a stock Lightning trainer, and what happens to trainings that do not end as planned."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger

from growlm.errors import GrowlmError
from growlm.files import tensor_digests
from growlm.manifest.manifest import read_manifest
from growlm.stack.stack import ModuleStack
from growlm.train.fit import NO_LOOPS, fit_phase, new_trainer
from growlm.train.phase import GrowPhase
from growlm.train.score_cache import ScoreCache

Phase = Callable[..., GrowPhase]
WORDS = ("cat", "dog", "box", "park", "Tom", "Lily", "red", "big")


@pytest.fixture
def phase(tiny_bases: dict[str, Path], tmp_path: Path) -> Phase:
    """A phase on a skill of prompts and completions of different lengths."""
    stories, rows = tmp_path / "stories.txt", tmp_path / "words.jsonl"
    stories.write_text("<|endoftext|>".join(f"the cat sat {number}" for number in range(40)))
    pairs = [(one, two) for one in WORDS for two in WORDS]
    lines = [{"prompt": f"hello {one} {two}", "completion": " yes" * (1 + len(two))} for one, two in pairs]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def phase(folder: str = "stack", **options: Any) -> GrowPhase:
        given: dict[str, Any] = {"base": str(tiny_bases["llama"]), "stories": str(stories), "num_scored": 2}
        given |= {"batch_size": 4, "router": "none", "method_options": {"module": {"lora": {"rank": 2}}}}
        return GrowPhase(str(rows), stack=tmp_path / folder, **{**given, **options})

    return phase


def trainer(steps: int, **options: Any) -> Trainer:
    return new_trainer(max_steps=steps, precision="32-true", accelerator="cpu", **options)


def tensors(folder: Path) -> bytes:
    return next(folder.glob("modules/*/module.safetensors")).read_bytes()


# Lightning's own: about missing workers, its old calls of torch, and a trainer without max_epochs
stock = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


class Count(Callback):
    """Counts batches and keeps the gradient of the first step."""

    def __init__(self) -> None:
        self.batches = 0
        self.gradients: dict[str, torch.Tensor] = {}

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self.batches += 1

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        if not self.gradients:
            self.gradients = {key: value.grad.clone() for key, value in pl_module.trained.items()}


@stock
def test_a_stock_trainer_trains_proves_and_commits(phase: Phase, tmp_path: Path):
    growing, count = phase(), Count()
    stock = Trainer(
        max_steps=3, logger=CSVLogger(tmp_path / "logs"), callbacks=[count], accelerator="cpu", log_every_n_steps=1,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    stock.fit(growing)
    assert count.batches == 3
    assert growing.grown is not None
    assert growing.grown.record.cost["steps"] == 3
    loaded = ModuleStack.from_pretrained(tmp_path / "stack")
    assert loaded.path == ("words",)
    assert tensor_digests(loaded.module_tensors("words")) == growing.grown.record.tensors
    assert set(growing.grown.record.scores) == {"stories", "words"}
    assert "loss" in next((tmp_path / "logs").rglob("metrics.csv")).read_text()
    assert sorted(path.name for path in (tmp_path / "stack").glob(".*")) == []


@stock
def test_the_same_bits_as_growlms_own_trainer_of_the_same_settings(phase: Phase, tmp_path: Path):
    stock = Trainer(
        max_steps=3, gradient_clip_val=1.0, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    stock.fit(phase("stock"))
    fit_phase(phase("own"), trainer(3))
    assert tensors(tmp_path / "stock") == tensors(tmp_path / "own")


@stock
def test_a_taken_name_is_refused_under_a_stock_trainer(phase: Phase, tmp_path: Path):
    fit_phase(phase(), trainer(1))
    with pytest.raises(GrowlmError, match="has a module 'words' already"):
        Trainer(max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False).fit(phase())
    assert not (tmp_path / "stack" / ".lock").exists()


def test_accumulated_gradients_are_those_of_one_large_batch(phase: Phase, tmp_path: Path):
    count = Count()
    grown = fit_phase(phase("small", batch_size=4), trainer(2, accumulate_grad_batches=4, callbacks=[count]))
    assert count.batches == 8
    assert grown.record.cost["steps"] == 2
    whole, growing = Count(), phase("large", batch_size=16)
    small = phase("order", batch_size=4)
    fit_phase(small, trainer(1))
    order = [row for batch in small.prepared.batches.epoch_order(0)[:4] for row in batch]
    examples = [small.prepared.batches.examples[row] for row in order]
    growing.cache.encoded = lambda *args: examples  # type: ignore[method-assign]
    fit_phase(growing, trainer(1, callbacks=[whole]))
    for key, gradient in whole.gradients.items():
        torch.testing.assert_close(count.gradients[key], gradient, rtol=1e-4, atol=1e-7)


class Stop(Callback):
    """Fails after a batch."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx + 1 == self.batch:
            raise RuntimeError("stopped here")


def test_a_phase_with_accumulation_resumes_at_a_step_in_the_same_bits(phase: Phase, tmp_path: Path):
    fit_phase(phase("whole"), trainer(4, accumulate_grad_batches=3))
    with pytest.raises(RuntimeError, match="stopped here"):
        fit_phase(phase("cut", checkpoint_every=1), trainer(4, accumulate_grad_batches=3, callbacks=[Stop(8)]))
    with pytest.raises(GrowlmError, match="accumulate_grad_batches 3, now 1"):
        fit_phase(phase("cut"), trainer(4))
    fit_phase(phase("cut"), trainer(4, accumulate_grad_batches=3))
    assert tensors(tmp_path / "cut") == tensors(tmp_path / "whole")


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")  # inductor's
def test_a_compiled_phase_resumes_in_the_same_bits(phase: Phase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    compiled = {"compile": True, "checkpoint_every": 1}
    fit_phase(phase("whole", **compiled), trainer(4))
    with pytest.raises(RuntimeError, match="stopped here"):
        fit_phase(phase("cut", **compiled), trainer(4, callbacks=[Stop(2)]))
    torch._dynamo.reset()  # as another process would begin
    fit_phase(phase("cut", **compiled), trainer(4))
    assert tensors(tmp_path / "cut") == tensors(tmp_path / "whole")
    fit_phase(phase("eager", compile=False), trainer(4))
    assert tensors(tmp_path / "eager") != tensors(tmp_path / "whole")


def test_a_state_that_belongs_to_no_phase_is_not_resumed(phase: Phase, tmp_path: Path) -> None:
    (tmp_path / "stack" / ".work").mkdir(parents=True)
    (tmp_path / "stack" / ".work" / "resume.ckpt").write_bytes(b"of a folder that was removed while a phase ran")
    assert fit_phase(phase(), trainer(1)).record.name == "words"


def test_layers_that_are_compiled_wrongly_stop_the_phase(
    phase: Phase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("growlm.train.phase._COMPARED_BATCH", 2)
    monkeypatch.setattr("growlm.train.phase.compile_problem", lambda device: None)
    monkeypatch.setattr(
        "torch.compile", lambda layer, **options: lambda *args, **kwargs: layer(*args, **kwargs).flip(-1)
    )
    with pytest.raises(GrowlmError, match=r"compiled decoder layers compute a loss of .*--compile false"):
        fit_phase(phase(compile=True), trainer(4))
    assert read_manifest(tmp_path / "stack").modules == ()
    monkeypatch.setattr("torch.compile", lambda layer, **options: layer)
    assert fit_phase(phase(compile=True, restart=True), trainer(4)).record.name == "words"


def test_a_divergence_stops_with_step_and_advice_and_commits_nothing(phase: Phase, tmp_path: Path):
    with pytest.raises(GrowlmError, match=r"diverged at step \d+: .*--restart true") as caught:
        fit_phase(phase(learning_rate=1e30), trainer(6))
    assert "learning_rate below 1e+30" in str(caught.value)
    assert read_manifest(tmp_path / "stack").modules == ()
    assert not (tmp_path / "stack" / ".lock").exists()
    assert fit_phase(phase(restart=True), trainer(1)).record.name == "words"


class Poison(Callback):
    """Makes a trained value infinite at the very end."""

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        with torch.no_grad():
            next(iter(pl_module.trained.values())).view(-1)[0] = torch.inf


def test_a_tensor_that_is_not_finite_is_neither_saved_nor_committed(phase: Phase, tmp_path: Path):
    with pytest.raises(GrowlmError, match="has values that are not finite"):
        fit_phase(phase(), trainer(2, callbacks=[Poison()]))
    assert read_manifest(tmp_path / "stack").modules == ()


@pytest.mark.parametrize("limits", [{"limit_train_batches": 2, "max_epochs": 1}, {"max_time": {"seconds": 0.5}}])
def test_a_training_that_ends_early_is_recorded_as_it_was(
    phase: Phase, caplog: pytest.LogCaptureFixture, limits: dict[str, Any]
):
    caplog.set_level(logging.WARNING, "growlm")
    grown = fit_phase(phase(), trainer(400, **limits))
    steps = grown.record.cost["steps"]
    assert 1 <= steps < 400
    assert f"ended early, after {steps} of 400 steps" in caplog.text


def test_a_training_without_a_step_commits_nothing(phase: Phase, tmp_path: Path):
    with pytest.raises(GrowlmError, match="ended before the first step"):
        fit_phase(phase(), trainer(4, limit_train_batches=0))
    assert read_manifest(tmp_path / "stack").modules == ()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("options", [{}, {"epochs": 3.0}, {"method": "k_shot", "method_options": {}}])
def test_a_fast_dev_run_runs_all_and_leaves_nothing(
    phase: Phase, tmp_path: Path, caplog: pytest.LogCaptureFixture, options: dict[str, Any]
):
    caplog.set_level(logging.INFO, "growlm")
    before = contents(tmp_path)
    grown = fit_phase(phase(router="ridge", **options), trainer(400, fast_dev_run=True))
    assert grown.record.cost["steps"] == (0 if "method" in options else 1)
    assert set(grown.record.scores["words"]) >= {"base", "oracle", "all", "routed"}
    assert "fast_dev_run" in caplog.text
    assert "ended early" not in caplog.text
    assert contents(tmp_path) == before
    assert not (tmp_path / "stack").exists()


@stock
def test_a_fast_dev_run_leaves_a_stack_and_its_unfinished_phase_as_they_were(phase: Phase, tmp_path: Path):
    class Stop(Callback):
        def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx == 2:
                raise RuntimeError("killed")

    fit_phase(phase(name="first"), trainer(1))
    with pytest.raises(RuntimeError, match="killed"):
        fit_phase(phase(checkpoint_every=1), trainer(4, callbacks=[Stop()]))
    before = contents(tmp_path)
    assert tmp_path / "stack" / ".work" / "resume.ckpt" in before
    growing = phase(name="second")
    Trainer(fast_dev_run=2, accelerator="cpu", logger=False, enable_progress_bar=False).fit(growing)
    assert growing.grown is not None
    assert growing.grown.record.cost["steps"] == 2
    assert contents(tmp_path) == before
    assert fit_phase(phase(), trainer(4)).record.cost["steps"] == 4


def test_a_path_worse_than_the_base_is_said(
    phase: Phase, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    caplog.set_level(logging.WARNING, "growlm")
    measure = ScoreCache.mode_scores

    def worse(*args: Any) -> dict[str, dict[str, Any]]:
        return {mode: {**score, "loss": 9.0} for mode, score in measure(*args).items()}

    monkeypatch.setattr(ScoreCache, "mode_scores", worse)
    fit_phase(phase(), trainer(1))
    assert "words ends worse than the bare base: loss 9.000 against " in caplog.text


@stock
def test_a_trainer_without_an_end_is_refused(phase: Phase):
    with pytest.raises(GrowlmError, match="-1 steps are too few"):
        Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False).fit(phase())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"accelerator": "gpux"}, "invalid accelerator name"),
        ({"devices": "0"}, "not a valid input using cpu"),
        ({"devices": "x"}, "should be an int > 0"),
        ({"strategy": "nope"}, "invalid strategy name"),
        ({"precision": "nonsense"}, "Precision 'nonsense' is invalid"),
        ({"max_time": "x"}, "not a valid duration"),
        ({"num_nodes": 0}, "must be a positive integer"),
    ],
)
def test_what_lightning_refuses_is_one_line(options: dict[str, Any], said: str):
    with pytest.raises(GrowlmError, match=f"Lightning refuses an option of the trainer: .*{said}"):
        new_trainer(**{"accelerator": "cpu", "max_steps": 1, **options})


@pytest.mark.parametrize("option", NO_LOOPS)
def test_options_of_loops_that_a_phase_has_none_of_are_refused(option: str):
    with pytest.raises(GrowlmError, match=f"^{option} of the trainer has no effect, a phase validates by itself"):
        new_trainer(accelerator="cpu", max_steps=1, **{option: 2})
    new_trainer(accelerator="cpu", max_steps=1, **{option: 1 if option.startswith("check") else 0})


@pytest.mark.parametrize("precision", ["64-true", "16-true", "bf16-true"])
def test_a_trainer_that_casts_what_is_frozen_is_refused(phase: Phase, tmp_path: Path, precision: str):
    options: dict[str, Any] = {"max_steps": 2, "precision": precision, "accelerator": "cpu"}
    message = f"precision '{precision}' would change what is frozen.*give one of 32-true, bf16-mixed, 16-mixed"
    with pytest.raises(GrowlmError, match=message):
        fit_phase(phase(), new_trainer(**options))
    with pytest.raises(GrowlmError, match=message):
        Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, **options).fit(phase())
    assert not (tmp_path / "stack" / "stack.json").exists()


@pytest.mark.parametrize(
    ("options", "worth_it", "line"),
    [
        ({}, 1e12, None),
        ({}, 1.0, "no C++ compiler was found (install g++)"),
        ({"compile": False}, 1.0, None),
        ({"compile": True}, 1e12, "no C++ compiler was found (install g++)"),
        ({"compile": True, "packing": False}, 1e12, "only packed rows are compiled"),
    ],
)
def test_layers_that_cannot_be_compiled_run_uncompiled_in_one_line(
    phase: Phase,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    worth_it: float,
    line: str | None,
) -> None:
    monkeypatch.setattr("growlm.train.phase._WORTH_COMPILING", worth_it)
    monkeypatch.setattr("shutil.which", lambda *args, **kwargs: None)
    with caplog.at_level(logging.INFO, "growlm"):
        fit_phase(phase(**options), trainer(1))
    found = [record.getMessage() for record in caplog.records if "uncompiled" in record.getMessage()]
    assert found == ([f"the decoder layers run uncompiled: {line}"] if line else [])
