"""Hidden states that are computed once and read in later epochs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from growlm.errors import GrowlmError
from growlm.manifest.store import WORK
from growlm.train.fit import fit_phase, new_trainer
from growlm.train.hidden_cache import STATES_FILE
from growlm.train.phase import GrowPhase

WORDS = ("cat", "dog", "box", "park", "Tom", "Lily", "red")
STEPS = 10  # more than two epochs of four
Phase = Callable[..., GrowPhase]


@pytest.fixture
def phase(tiny_bases: dict[str, Path], tmp_path: Path, short_answers: None) -> Phase:
    """A phase on the last two of four layers, with cached hidden states."""
    rows, stories = tmp_path / "words.jsonl", tmp_path / "stories.txt"
    stories.write_text("<|endoftext|>".join(f"the cat sat {number}" for number in range(40)))
    pairs = [(one, two) for one in WORDS for two in WORDS]
    lines = [{"prompt": f"hello {one} {two}", "completion": " yes" * (1 + len(two))} for one, two in pairs]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def phase(folder: str = "stack", **options: Any) -> GrowPhase:
        given: dict[str, Any] = {"base": str(tiny_bases["llama"]), "stories": str(stories), "num_scored": 2}
        given |= {"batch_size": 8, "router": "none", "cache_hidden_states": True}
        given["method_options"] = {"module": {"lora": {"rank": 2, "layers": [2, 3]}}}
        return GrowPhase(str(rows), stack=tmp_path / folder, **{**given, **options})

    return phase


def fit(phase: GrowPhase, *callbacks: Callback, precision: str = "bf16-mixed") -> bytes:
    """Train a phase and return its module's file."""
    trainer = new_trainer(max_steps=STEPS, precision=precision, accelerator="cpu", callbacks=[*callbacks])
    fit_phase(phase, trainer)
    return next(phase.config.stack.glob("modules/*/module.safetensors")).read_bytes()


class Calls(Callback):
    """Counts the passes through the lowest and the highest layer in each step."""

    def __init__(self) -> None:
        self.counts = [[0, 0]]

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, GrowPhase)
        for place, number in enumerate((0, 3)):
            layer = module.stack.base.get_submodule(f"model.layers.{number}.self_attn")
            layer.register_forward_hook(lambda *_, place=place: self._count(place))

    def _count(self, place: int) -> None:
        self.counts[-1][place] += 1

    def on_train_batch_end(self, *args: Any) -> None:
        self.counts.append([0, 0])


class Lose(Callback):
    """Damages or removes what is cached before each step from a given one on."""

    def __init__(self, how: str, first: int = 0) -> None:
        self.how = how
        self.first = first

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, index: int) -> None:
        assert isinstance(module, GrowPhase)
        assert module._hidden is not None
        if index < self.first:
            return
        module._hidden._valid.clear()
        if self.how == "forget":
            module._hidden._checksums_G.zero_()
        else:
            module._hidden._states_ND[::3].mul_(-1)


class Stop(Callback):
    """Interrupts after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


def test_layers_below_run_once_for_every_example(phase: Phase) -> None:
    calls, phase_of_two_epochs = Calls(), phase()
    fit(phase_of_two_epochs, calls)
    batches = phase_of_two_epochs.prepared.batches
    per_epoch = len(batches.examples) // batches.batch_size
    assert 2 * per_epoch < STEPS
    assert len(batches.examples) % batches.batch_size
    below, above = zip(*calls.counts[:STEPS], strict=True)
    assert above == (1,) * STEPS
    assert below[:per_epoch] == (1,) * per_epoch
    assert sum(below[per_epoch:]) == 1  # the examples that the first epoch left out


@pytest.mark.parametrize("packing", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_reading_changes_no_bit(phase: Phase, packing: bool) -> None:
    cached = fit(phase("cached", packing=packing))
    assert fit(phase("forgetful", packing=packing), Lose("forget")) == cached


@pytest.mark.slow
def test_damaged_states_are_computed_again(phase: Phase) -> None:
    assert fit(phase("damaged"), Lose("damage", 5)) == fit(phase("whole"))


@pytest.mark.parametrize("lost", [pytest.param((), marks=pytest.mark.slow), (STATES_FILE,)])
def test_a_resumed_phase_has_the_same_bits(phase: Phase, lost: tuple[str, ...]) -> None:
    whole = fit(phase("whole"))
    interrupted = phase("cut", checkpoint_every=1)
    with pytest.raises(KeyboardInterrupt):
        fit(interrupted, Stop(7))
    for name in lost:
        (interrupted.config.stack / WORK / name).unlink()
    calls = Calls()
    assert fit(phase("cut"), calls) == whole
    assert (calls.counts[0][0] > 0) == bool(lost)
    assert not (interrupted.config.stack / WORK).exists()


@pytest.mark.slow
def test_the_module_is_the_one_without_a_cache_up_to_rounding(phase: Phase) -> None:
    cached, plain = phase("cached"), phase("plain", cache_hidden_states=False)
    fit(cached, precision="32-true")
    fit(plain, precision="32-true")
    for (name, one), other in zip(
        cached.stack.module_tensors("words").items(), plain.stack.module_tensors("words").values(), strict=True
    ):
        start = torch.zeros_like(other) if name.endswith("B") else other
        assert (one - other).norm() < 0.05 * (other - start).norm() or name.endswith("A"), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method_options": {"module": {"lora": {"rank": 2}}}}, "nothing below it to cache: give its kinds higher"),
        ({"method": "ewc", "method_options": {}}, "'ewc' runs more in a step than its examples"),
    ],
)
def test_what_cannot_be_cached_is_refused(phase: Phase, options: dict[str, Any], message: str) -> None:
    refused = phase(**options)
    with pytest.raises(GrowlmError, match=message):
        fit(refused)
    assert not refused.config.stack.exists()
