"""What holds for a phase of every registered method, on a skill of a few words."""

import importlib
import inspect
import io
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import nn

from growlm import registry
from growlm.errors import GrowlmError
from growlm.files import tensor_digests
from growlm.manifest import store
from growlm.methods.grow import Grow
from growlm.methods.method import Method
from growlm.modules.demonstrations import DemonstrationsPart
from growlm.modules.kind import ModuleKind
from growlm.modules.lora import Lora, LoraPart
from growlm.modules.nearest import NearestPart
from growlm.registry import methods
from growlm.stack.stack import ModuleStack
from growlm.train.fit import fit_phase, new_trainer
from growlm.train.phase import GrowPhase
from growlm.train.result import Grown
from tests.contracts.conftest import tokens
from tests.contracts.test_every_module import contents
from tests.contracts.toy import Toy

STEPS = 10
RATES = {"gain": 0.3, "sparse_memory": 0.05}
"""Learning rates of methods that train little of what they have, and so need more than others in these steps."""
LEFT = {"gain": 0.96}
"""Share of the loss that may be left, of a method that can learn little on a base of random weights."""
every_method = pytest.mark.parametrize("method", sorted(methods))
TRAINING = sorted(name for name in methods if methods.get(name).trains)
every_training_method = pytest.mark.parametrize("method", TRAINING)


@dataclass
class Point:
    """An entry point without a package around it."""

    name: str
    member: type

    def load(self) -> type:
        return self.member


@pytest.fixture(autouse=True, scope="module")
def _toy_skill() -> Iterator[None]:
    points = {"growlm.skills": [Point("toy", Toy)], "growlm.methods": [Point("forgetful", Forgetful)]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "entry_points", lambda group: points.get(group, []))
        yield


class Killed(BaseException):
    """Takes the place of the end of the process."""


class Kill(Callback):
    """Ends the process after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if trainer.global_step == self.step:
            raise Killed


Run = Callable[..., Grown]


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text to measure the base on."""
    file = tmp_path_factory.mktemp("stories") / "stories.txt"
    file.write_text("<|endoftext|>".join(f"the cat sat {number}" for number in range(40)))
    return file


@pytest.fixture(scope="module")
def run(tiny_bases: dict[str, Path], stories: Path) -> Run:
    """Run a phase."""

    def run(method: str, folder: Path, name: str = "toy", *callbacks: Callback, **settings: Any) -> Grown:
        given = {"batch_size": 4, "learning_rate": RATES.get(method, 1e-2), "num_scored": 4, "stories": str(stories)}
        given |= {"checkpoint_every": 2, **settings}
        phase = GrowPhase("toy", name=name, stack=folder, base=str(tiny_bases["llama"]), method=method, **given)
        trainer = new_trainer(max_steps=STEPS, precision="32-true", accelerator="cpu", callbacks=list(callbacks))
        return fit_phase(phase, trainer)

    return run


@dataclass
class Phase:
    """A phase that has run, for tests that only look at what it left."""

    folder: Path
    grown: Grown
    method: Method
    state: dict[str, Any]


@pytest.fixture(scope="module")
def first(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Phase]:
    """Return the first phase of a method, run once."""
    seen: list[tuple[Method, dict[str, Any]]] = []

    class Keep(Callback):
        def on_fit_end(self, trainer: Trainer, pl_module: GrowPhase) -> None:  # type: ignore[override]
            seen.append((pl_module.method, pl_module.method.state_dict()))

    @cache
    def first(method: str) -> Phase:
        folder = tmp_path_factory.mktemp(method) / "stack"
        grown = run(method, folder, "toy", Keep())
        return Phase(folder, grown, *seen.pop())

    return first


First = Callable[[str], Phase]


class Watch(Callback):
    """Notes what is declared and what it is at first, and that nothing else ever has a gradient."""

    def __init__(self) -> None:
        self.declared: set[str] = set()
        self.first: dict[str, str] = {}
        self.trained: dict[str, str] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: GrowPhase) -> None:  # type: ignore[override]
        parameters = pl_module.stack.module_parameters(pl_module.config.module)
        trained = {id(parameter) for parameter in pl_module.method.parameters(pl_module.stack, pl_module.config.module)}
        self.declared = {name for name, parameter in parameters.items() if id(parameter) in trained}
        self.first = tensor_digests(pl_module.stack.module_tensors(pl_module.config.module))

    def on_after_backward(self, trainer: Trainer, pl_module: GrowPhase) -> None:  # type: ignore[override]
        for name, parameter in pl_module.stack.named_parameters():
            if parameter.grad is not None:
                assert parameter.requires_grad, name
        own = pl_module.stack.module_parameters(pl_module.config.module)
        with_gradient = {name for name, parameter in own.items() if parameter.grad is not None}
        assert with_gradient == self.declared

    def on_train_end(self, trainer: Trainer, pl_module: GrowPhase) -> None:  # type: ignore[override]
        self.trained = tensor_digests(pl_module.stack.module_tensors(pl_module.config.module))


@every_method
def test_a_phase_moves_what_is_declared_and_nothing_else(run: Run, first: First, method: str, tmp_path: Path) -> None:
    old, folder = first(method).grown, tmp_path / "stack"
    shutil.copytree(first(method).folder, folder)
    before = contents(folder)
    watch = Watch()
    new = run(method, folder, "second", watch, skill_options={"answer": " ran in"})
    # on disk and in memory: the base and the older module as they were
    assert (
        contents(folder).items() >= {name: old for name, old in before.items() if name.startswith("modules/")}.items()
    )
    assert new.stack.manifest.modules[0] == old.record
    assert new.stack.manifest.base == old.stack.manifest.base
    assert tensor_digests(new.stack.base_tensors()) == tensor_digests(old.stack.base_tensors())
    assert new.frozen_tensors == len(new.stack.base_tensors()) + len(old.record.tensors)
    with new.stack.active("toy"), old.stack.active("toy"):
        logits = old.stack(tokens()).logits
        assert torch.equal(new.stack(tokens()).logits, logits)
    # of the new module exactly the declared tensors moved in training; a method may take some of that back at the end
    moved = {name for name, digest in watch.trained.items() if watch.first[name] != digest}
    assert moved == watch.declared
    assert bool(moved) == (method in TRAINING)
    assert {name for name, digest in new.record.tensors.items() if watch.first[name] != digest} <= moved
    assert (new.record.tensors != watch.first) == (method in TRAINING)
    assert new.stack.verify() == len(new.stack.frozen_tensors())
    assert not any(parameter.requires_grad for parameter in new.stack.parameters())
    # undo: in memory the same bits, on disk the same bytes
    assert new.stack.undo().name == "second"
    assert torch.equal(new.stack(tokens()).logits, logits)
    assert store.undo(folder) == "second"
    assert contents(folder) == before


@every_training_method
def test_the_loss_falls_on_a_toy_skill(first: First, method: str) -> None:
    scores = first(method).grown.record.scores["toy"]
    assert scores["oracle"]["loss"] < LEFT.get(method, 0.9) * scores["base"]["loss"]
    assert scores["all"] == scores["oracle"]


def test_a_method_without_steps_changes_what_is_answered(first: First) -> None:
    for method in (name for name in methods if not methods.get(name).trains):
        grown = first(method).grown
        assert (grown.record.cost["steps"], grown.record.cost["trained"]) == (0, 0)
        assert grown.record.scores["toy"]["oracle"]["loss"] != grown.record.scores["toy"]["base"]["loss"]


def test_nothing_is_grown_on_examples_before_the_prompt(run: Run, first: First) -> None:
    folder = first("k_shot").folder
    with pytest.raises(GrowlmError, match="module 'toy' puts examples of its own before what it is shown"):
        run("grow", folder, "second")
    assert ModuleStack.from_pretrained(folder).manifest.current() == ("toy",)


@every_method
def test_what_is_on_disk_is_what_was_grown(first: First, method: str) -> None:
    grown, folder = first(method).grown, first(method).folder
    loaded = ModuleStack.from_pretrained(folder)
    assert loaded.manifest == grown.stack.manifest
    assert torch.equal(loaded(tokens()).logits, grown.stack(tokens()).logits)
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".json", ".safetensors", ".md", ".jinja"}
    scores = grown.record.scores
    assert set(scores) == {"stories", "toy"}
    assert scores["stories"]["base"] == scores["stories"]["oracle"]  # the base path, after the phase: not a digit moved


@every_training_method
def test_a_killed_phase_ends_in_the_same_bits(run: Run, first: First, method: str, tmp_path: Path) -> None:
    for step in (1, 5, STEPS - 1, STEPS):
        with pytest.raises(Killed):
            run(method, tmp_path, "toy", Kill(step))
        assert ModuleStack.from_pretrained(tmp_path).manifest.modules == ()
    resumed = run(method, tmp_path)
    assert without_seconds(resumed) == without_seconds(first(method).grown)
    file = "modules/00-toy/module.safetensors"
    assert (tmp_path / file).read_bytes() == (first(method).folder / file).read_bytes()
    assert not (tmp_path / ".work").exists()


@every_training_method
def test_a_killed_later_phase_ends_in_the_same_bits(run: Run, first: First, method: str, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        shutil.copytree(first(method).folder, folder)
    options = {"skill_options": {"answer": " ran in"}}
    expected = run(method, whole, "second", **options)
    with pytest.raises(Killed):
        run(method, killed, "second", Kill(5), **options)
    assert without_seconds(run(method, killed, "second", **options)) == without_seconds(expected)


@every_method
def test_another_seed_gives_other_bits(run: Run, first: First, method: str, tmp_path: Path) -> None:
    assert run(method, tmp_path, seed=1).record.tensors != first(method).grown.record.tensors


@every_method
def test_kept_rows_are_the_examples_that_lie_in_the_stack(first: First, method: str) -> None:
    grown = first(method).grown
    offsets = [tensor for key, tensor in grown.method_tensors.items() if key.rpartition("/")[2] == "offsets"]
    kept = sum(len(tensor) - 1 for tensor in offsets)
    kept += sum(len(part.examples()) for part in grown.stack.parts("toy", DemonstrationsPart).values())
    if grown.stack.parts("toy", NearestPart):
        kept += sum(1 for _ in Toy().examples("train"))
    assert grown.record.cost["kept_rows"] == kept
    assert (kept > 0) == (method in ("replay", "recurrent_kif", "cat", "pmoe", "k_shot", "knn_lm"))


@every_method
def test_the_state_of_a_method_is_tensors_and_plain_values(first: First, method: str) -> None:
    file = io.BytesIO()
    torch.save(first(method).state, file)
    file.seek(0)
    other = type(first(method).method)()
    other.load_state_dict(torch.load(file, weights_only=True))
    torch.testing.assert_close(other.state_dict(), first(method).state, rtol=0, atol=0)


@every_method
def test_the_same_phase_again_does_nothing(run: Run, first: First, method: str) -> None:
    folder, grown = first(method).folder, first(method).grown
    before = contents(folder)
    again = run(method, folder)
    assert again.already_there
    assert not grown.already_there
    assert again.record == grown.record
    assert again.stack.path == ("toy",)
    with pytest.raises(
        GrowlmError, match=r"module 'toy' already, grown with other settings \(seed 0, now 1\): undo it"
    ):
        run(method, folder, seed=1)
    assert contents(folder) == before


@every_method
def test_the_file_says_what_it_costs_and_what_proves_it(method: str) -> None:
    text = importlib.import_module(methods.get(method).__module__).__doc__ or ""
    assert "Cost per step: " in text
    proofs = re.findall(r"tests/[\w/]+\.py", text.partition("Proved by")[2])
    assert proofs
    assert all((Path(__file__).parents[2] / proof).exists() for proof in proofs)
    assert inspect.getdoc(methods.get(method))


# -- what phases refuse of any method ----------------------------------------------------------------------------------


class Forgetful(Grow):
    """Declares a part of its module only."""

    def parameters(self, stack: ModuleStack, name: str) -> list[nn.Parameter]:
        return [value for key, value in stack.module_parameters(name).items() if key.endswith(".B")]


def test_an_undeclared_tensor_stays_and_gets_no_gradient(run: Run, tmp_path: Path) -> None:
    watch = Watch()
    record = run("forgetful", tmp_path, "toy", watch, method_options={"module": {"lora": {"rank": 2}}}).record
    moved = {name for name, digest in record.tensors.items() if watch.first[name] != digest}
    assert moved == watch.declared == {name for name in record.tensors if name.endswith(".B")}


def test_a_declared_tensor_without_a_gradient_is_an_error(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def without_low_rank(self: LoraPart, inputs: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        return output + self.B.sum() * inputs.sum()

    monkeypatch.setattr(LoraPart, "forward", without_low_rank)
    with pytest.raises(GrowlmError, match=r"tensor 'lora\.[\w.]+\.A' was to be trained but got no gradient"):
        run("grow", tmp_path, method_options={"module": {"lora": {"rank": 2}}})
    assert ModuleStack.from_pretrained(tmp_path).manifest.modules == ()


def test_nothing_to_train_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Forgetful, "parameters", lambda self, stack, name: [])
    with pytest.raises(GrowlmError, match="method 'forgetful' with these options has nothing to train"):
        run("forgetful", tmp_path / "stack")
    assert not (tmp_path / "stack").exists()


class Meddle(Callback):
    """Moves one weight of the base."""

    def on_train_end(self, trainer: Trainer, pl_module: GrowPhase) -> None:  # type: ignore[override]
        with torch.no_grad():
            pl_module.stack.base_tensors()["model.norm.weight"][3] += 1e-6


def test_a_phase_that_moved_a_frozen_tensor_fails_and_names_it(run: Run, tmp_path: Path) -> None:
    with pytest.raises(GrowlmError, match=r"tensor 'base/model\.norm\.weight' was changed"):
        run("grow", tmp_path, "toy", Meddle())
    assert ModuleStack.from_pretrained(tmp_path).manifest.modules == ()


class Penalised(Grow):
    """Counts what a phase asks of it, in which order."""

    calls: list[str]

    def begin(self, *args: Any) -> None:
        self.calls.append("begin")

    def build(self, *args: Any) -> dict[str, ModuleKind]:
        self.calls.append("build")
        return {"lora": Lora(rank=2)}

    def batch(self, batch: Any) -> Any:
        self.calls.append("batch")
        return batch

    def loss(self, stack: ModuleStack, batch: Any) -> torch.Tensor:
        self.calls.append("loss")
        return super().loss(stack, batch)

    def after_backward(self) -> None:
        self.calls.append("after_backward")

    def after_step(self) -> None:
        self.calls.append("after_step")

    def end(self, *args: Any) -> dict[str, torch.Tensor]:
        self.calls.append("end")
        return {}


def test_a_method_is_asked_in_this_order(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Penalised, "calls", [], raising=False)
    monkeypatch.setattr(registry, "entry_points", lambda group: [Point("toy", Toy if "skills" in group else Penalised)])
    run("toy", tmp_path)
    step = ["batch", "loss", "after_backward", "after_step"]
    assert Penalised.calls == ["build", "begin", *step * STEPS, "end"]


def without_seconds(grown: Grown) -> Any:
    """Return a record less what time it took."""
    return replace(grown.record, cost={**grown.record.cost, "seconds": 0})
