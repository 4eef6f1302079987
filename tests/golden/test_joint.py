"""Joint training: on a mixture of one skill it is per-skill fine-tuning, bit for bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from growlm.errors import GrowlmError
from growlm.files import tensor_digests
from growlm.registry import methods
from growlm.stack.stack import ModuleStack
from growlm.train.fit import fit_phase, new_trainer
from growlm.train.phase import GrowPhase
from growlm.train.result import Grown
from tests.golden.conftest import RunPhase

ARITHMETIC = {"num_train": 24, "num_test": 4, "num_validation": 4}
Fit = Callable[..., Grown]


@pytest.fixture
def fit(tiny_bases: dict[str, Path], tmp_path: Path) -> Fit:
    """Return a function that runs a whole phase."""

    def fit(folder: str, skill: str, skill_options: dict[str, Any], method: str, **method_options: Any) -> Grown:
        phase = GrowPhase(
            skill,
            skill_options=skill_options,
            name="learned",
            stack=tmp_path / folder,
            base=str(tiny_bases["llama"]),
            method=method,
            method_options=method_options,
            batch_size=4,
            num_scored=2,
            router="none",
        )
        return fit_phase(phase, new_trainer(max_steps=8, precision="32-true", accelerator="cpu"))

    return fit


@pytest.mark.parametrize("weights", ["all", "linears"])
def test_on_a_mixture_of_one_skill_it_is_per_skill_bit_for_bit(fit: Fit, weights: str) -> None:
    joint = fit("joint", "mixture", {"skills": {"arithmetic": {"options": ARITHMETIC}}}, "joint", weights=weights)
    alone = fit("alone", "arithmetic", ARITHMETIC, "per_skill", weights=weights)
    assert joint.record.tensors == alone.record.tensors
    assert joint.record.skill["train_digest"] == alone.record.skill["train_digest"]
    assert joint.record.scores["learned"]["oracle"]["loss"] == alone.record.scores["learned"]["oracle"]["loss"]
    assert any(tensor.any() for tensor in joint.stack.module_tensors("learned").values())


def test_a_mixture_is_scored_by_its_loss(fit: Fit) -> None:
    skills = {name: {"options": ARITHMETIC | {"difficulty": 0.0}} for name in ("arithmetic", "commands")}
    grown = fit("joint", "mixture", {"skills": skills}, "joint", module={"lora": {"rank": 2}})
    assert grown.record.kinds.keys() == {"lora"}
    scores = grown.record.scores["learned"]
    assert scores["oracle"]["metric"] == "loss"
    assert scores["oracle"]["value"] == scores["oracle"]["loss"] < scores["base"]["loss"]


def test_it_stands_on_the_bare_base(stack: ModuleStack, run_phase: RunPhase) -> None:
    run_phase(stack, "lora_incremental", "one")
    digests = tensor_digests(stack.frozen_tensors())
    run_phase(stack, "joint", "two")
    assert stack.path_of("two") == ("two",)
    assert {
        name: digest for name, digest in tensor_digests(stack.frozen_tensors()).items() if name in digests
    } == digests


def test_what_it_says_of_itself() -> None:
    member = methods.build("joint", {"module": {"lora": {"rank": 3}}})
    assert member.at_once
    assert member.inference == "all"
    assert not methods.get("per_skill").at_once
    with pytest.raises(GrowlmError, match="method 'joint' needs a module with at least one kind, such as lora"):
        methods.build("joint", {"module": {}})
