"""OSFT: what is preserved after AdamW, ranks by hand, its limits at 0 and 1, and weights that add up over phases."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from growlm.errors import GrowlmError
from growlm.merging.merge import effective_weight
from growlm.methods._preserved_ranks import adaptive_ratios, input_output_cosine
from growlm.methods._projected_weight import ProjectedWeight
from growlm.methods.method import Method
from growlm.methods.osft import Osft
from growlm.modules.dense import DensePart
from growlm.modules.directions import linear_weight, num_preserved, preserved_directions, without_block
from growlm.registry import methods
from growlm.stack.stack import ModuleStack
from tests.golden.conftest import NO_SKILL, RunPhase, encoded

Q, UP = "model.layers.1.self_attn.q_proj", "model.layers.2.mlp.up_proj"


def weights(stack: ModuleStack) -> dict[str, Tensor]:
    """Return all linears' weights with the active path, [O, I] in fp64; they are those of the merged stock model."""
    merged = stack.merged()
    found = {}
    for site in stack.architecture.linear_sites(None, range(stack.architecture.num_layers)):
        found[site] = effective_weight(stack, site, stack.path)
        stock = linear_weight(merged.get_submodule(site)).double()
        torch.testing.assert_close(found[site], stock, rtol=0, atol=1e-6)
    return found


def train(stack: ModuleStack, begin: Any, options: dict[str, Any], name: str, steps: int = 40) -> Method:
    """Do what a phase does, with AdamW, and leave the module growing."""
    member, batches = begin(stack, "osft", options, name, encoded(len(name)))
    declared = list(member.parameters(stack, name))
    for parameter in stack.module_parameters(name).values():
        parameter.requires_grad_(any(parameter is other for other in declared))
    optimizer = torch.optim.AdamW(declared, lr=1e-2, weight_decay=0.1)
    for step in range(steps):
        optimizer.zero_grad()
        member.loss(stack, batches(step)).backward()
        member.after_backward()
        optimizer.step()
        member.after_step()
    return member


def leaks(weight: Tensor, delta: Tensor, preserved: int) -> tuple[float, float, float]:
    """Measure what of a change lies in preserved outputs, in preserved inputs, and in the block of both."""
    U, _, Vt = torch.linalg.svd(weight, full_matrices=False)
    U_h, V_h = U[:, :preserved], Vt[:preserved].T
    parts = (U_h.T @ delta, delta @ V_h, U_h.T @ delta @ V_h)
    return tuple((part.norm() / delta.norm()).item() for part in parts)  # type: ignore[return-value]


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_two_phases_in_the_factor_form(
    begin: Any, run_phase: RunPhase, tiny_bases: dict[str, Path], family: str
) -> None:
    stack = ModuleStack.from_base(str(tiny_bases[family])).eval()
    options = {"preserve_ratio": 0.5}
    run_phase(stack, "osft", "one", options, rate=1.0)
    with stack.active():
        base = weights(stack)
    before = weights(stack)
    train(stack, begin, options, "three")
    assert stack.path == ("one", "three")  # a module of its own, on top
    after = weights(stack)
    for site, weight in before.items():
        assert (weight - base[site]).norm() > 1e-3  # the effective weight is no longer the base's
        delta = after[site] - weight
        assert delta.norm() > 0.05
        assert max(leaks(weight, delta, min(weight.shape) // 2)[:2]) <= 1e-6, site


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2"])
def test_two_phases_in_the_block_form(
    begin: Any, run_phase: RunPhase, tiny_bases: dict[str, Path], family: str
) -> None:
    stack = ModuleStack.from_base(str(tiny_bases[family])).eval()
    options = {"constraint": "block", "preserve_ratio": 0.5}
    run_phase(stack, "osft", "one", options)
    before = weights(stack)
    train(stack, begin, options, "three")
    assert stack.path == ("three",)  # a new version of the first, which it supersedes
    after = weights(stack)
    for site, weight in before.items():
        outputs, inputs, block = leaks(weight, after[site] - weight, min(weight.shape) // 2)
        assert block <= 1e-6, site
        assert min(outputs, inputs) > 0.1  # the paper's form lets these go
    biases = {key: value for key, value in stack.module_parameters("three").items() if key.endswith(".bias")}
    assert bool(biases) == (family != "llama")
    assert not any(bias.any() for bias in biases.values())


def block_after(steps: int, *, gradient: bool, change: bool) -> float:
    """Train a difference with AdamW and return how much of it lies in the preserved block."""
    generator = torch.Generator().manual_seed(0)
    weight = 0.1 * torch.randn(32, 20, generator=generator)
    part = DensePart(nn.Linear(20, 32, bias=False))
    difference = part.layer.weight
    start = difference.detach().copy_(0.02 * torch.randn(32, 20, generator=generator)).clone()
    projected = ProjectedWeight(part, without_block, *preserved_directions(weight + start, 12))
    optimizer = torch.optim.AdamW([difference], lr=3e-3, weight_decay=0.1)
    target = torch.randn(32, 20, generator=generator)
    for _ in range(steps):
        inputs = torch.randn(8, 20, generator=generator)
        optimizer.zero_grad()
        (inputs @ (weight + difference - target).T).square().mean().backward()
        if gradient:
            projected.project_gradient()
        optimizer.step()
        if change:
            projected.project_change()
    delta = (difference.detach() - start).double()
    assert delta.norm() > 1
    return leaks((weight + start).double(), delta, 12)[2]


def test_the_block_is_kept_in_a_thousand_steps_of_adamw() -> None:
    assert block_after(1000, gradient=True, change=True) <= 1e-6
    assert block_after(200, gradient=False, change=True) <= 1e-6  # whatever the optimizer is given
    assert block_after(200, gradient=True, change=False) > 1e-2  # what projecting the gradient alone leaves


@pytest.mark.parametrize("adam", [False, True])
def test_nothing_preserved_in_the_block_form_is_sequential_bit_for_bit(
    stack: ModuleStack, run_phase: RunPhase, begin: Any, adam: bool
) -> None:
    results = []
    for method, options in (
        ("sequential", {"weights": "linears"}),
        ("osft", {"constraint": "block", "preserve_ratio": 0.0}),
        ("osft", {"constraint": "block", "preserve_ratio": 0.1}),
    ):
        other = copy.deepcopy(stack)
        run_phase(other, method, "one", options)
        if adam:
            member, batches = begin(other, method, options, "three", encoded(3))
            optimizer = torch.optim.AdamW(member.parameters(other, "three"), lr=1e-3, weight_decay=0.1)
            for step in range(5):
                optimizer.zero_grad()
                member.loss(other, batches(step)).backward()
                member.after_backward()
                optimizer.step()
                member.after_step()
        else:
            run_phase(other, method, "three", options)
        results.append(other.module_tensors("three"))
    sequential, free, constrained = results
    assert sequential.keys() == free.keys()
    assert all(torch.equal(free[key], value) for key, value in sequential.items())
    assert not any(torch.equal(constrained[key], value) for key, value in sequential.items())


def test_nothing_preserved_in_the_factor_form_trains_the_same_functions(
    stack: ModuleStack, run_phase: RunPhase
) -> None:
    # the directions are orthonormal, so that plain gradient descent is the same in their coordinates
    results = []
    for method, options in (
        ("sequential", {"weights": "linears"}),
        ("osft", {"preserve_ratio": 0.0, "null_space": True}),
        ("osft", {"preserve_ratio": 0.0}),
    ):
        other = copy.deepcopy(stack)
        run_phase(other, method, "one", options)
        results.append(weights(other))
    before = weights(stack)
    dense, free, without_null_space = results
    for site, weight in before.items():
        moved = (dense[site] - weight).norm()
        assert (free[site] - dense[site]).norm() < 1e-4 * moved
        # a rectangular weight's null space is free only if asked for; the square ones are all free, at the same scale
        rectangular = weight.shape[0] != weight.shape[1]
        assert ((without_null_space[site] - dense[site]).norm() > 1e-2 * moved) or not rectangular


@pytest.mark.parametrize("constraint", ["factor", "block"])
def test_all_preserved_is_nothing_to_train(stack: ModuleStack, constraint: str) -> None:
    method = methods.build("osft", {"constraint": constraint, "preserve_ratio": 1.0})
    with pytest.raises(GrowlmError, match=r"osft with uniform ranks preserves every direction .* nothing is left"):
        method.build(stack, NO_SKILL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preserve_ratio": -0.1}, "preserve_ratio -0.1 is not between 0 and 1"),
        ({"mrr": 0.9}, "mrr 0.9 and trr 0.8 are not shares"),
        ({"num_samples": 0}, "num_samples 0 is too small"),
        ({"ranks": "schedule", "num_phases": 0}, "num_phases 0 does not fit"),
        ({"num_phases": 3}, "num_phases 3 does not fit ranks 'uniform'"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GrowlmError, match=message):
        methods.build("osft", options)


# -- ranks -------------------------------------------------------------------------------------------------------------


def test_adaptive_ranks_by_hand() -> None:
    # mean 0.4, so that importance is 0.5, 1, 1.25, 1.25; 0.1 + 0.7 I
    importance = {"a": 0.2, "b": 0.4, "c": 0.5, "d": 0.5}
    ratios = adaptive_ratios(importance, dict.fromkeys(importance, 40), 0.1, 0.8)
    assert list(ratios.values()) == pytest.approx([0.45, 0.8, 0.975, 0.975])
    assert sum(ratios.values()) / 4 == pytest.approx(0.8)
    assert [num_preserved((20, 40), ratio) for ratio in ratios.values()] == [9, 16, 19, 19]


def test_saturation_is_clamped_to_the_minimum_ratio_and_one_free_direction() -> None:
    # importance 3, 1, -1: 2.2, 0.8, -0.6
    message = "of 3 linears 1 would preserve more than all directions and 1 less than mrr 0.1; the mean share is 0.617"
    num_directions = {"a": 20, "b": 20, "c": 10}
    with pytest.warns(UserWarning, match=message):
        ratios = adaptive_ratios({"a": 0.3, "b": 0.1, "c": -0.1}, num_directions, 0.1, 0.8)
    assert ratios == pytest.approx({"a": 19 / 20, "b": 0.8, "c": 0.1})
    assert [num_preserved((full, 64), ratios[name]) for name, full in num_directions.items()] == [19, 16, 1]
    # exactly at the edge, where 0.1 + 9 / 7 * 0.7 is a rounding above 1: no warning
    assert adaptive_ratios({"a": 9.0, "b": 5.0}, num_directions, 0.1, 0.8) == pytest.approx({"a": 19 / 20, "b": 0.6})


def test_of_the_highest_ratio_one_direction_is_free() -> None:
    sizes = [*range(1, 200), 512, 1408]
    ratios = [adaptive_ratios({"a": 9.0, "b": 5.0}, {"a": full, "b": 2}, 0.1, 0.8)["a"] for full in sizes]
    assert [num_preserved((full, full), ratio) for full, ratio in zip(sizes, ratios, strict=True)] == [
        full - 1 for full in sizes
    ]


@pytest.mark.parametrize("importance", [{"a": 0.0, "b": 0.0}, {"a": 0.1, "b": -0.3}])
def test_importance_that_says_nothing(importance: dict[str, float]) -> None:
    with pytest.warns(UserWarning, match=r"not positive: every linear preserves 0\.8"):
        ratios = adaptive_ratios(importance, {"a": 20, "b": 20}, 0.1, 0.8)
    assert ratios == pytest.approx({"a": 0.8, "b": 0.8})


def test_the_cosine_of_what_goes_in_and_comes_out() -> None:
    inputs = torch.tensor([[1.0, 0.0, 7.0], [3.0, 4.0, 7.0]])
    outputs = torch.tensor([[1.0, 1.0], [4.0, 3.0]])  # shorter: the inputs are cut to two
    assert input_output_cosine(inputs, outputs).item() == pytest.approx((0.5**0.5 + 24 / 25) / 2)
    assert input_output_cosine(outputs, inputs).item() == pytest.approx((0.5**0.5 + 24 / 25) / 2)


@pytest.fixture
def adaptive(stack: ModuleStack, run_phase: RunPhase) -> dict[str, Any]:
    """Run a first phase with adaptive ranks."""
    options = {"ranks": "adaptive", "num_samples": 4}
    run_phase(stack, "osft", "one", options, examples=encoded(1))
    return options


@pytest.mark.filterwarnings("ignore:adaptive ranks saturate", "ignore:the mean importance")  # random weights
def test_importance_is_kept_for_the_next_phase(
    stack: ModuleStack, run_phase: RunPhase, adaptive: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # before any other phase trr of everything is preserved: floor(0.8 * 32) = 25
    first = stack.manifest.modules[0].kinds["subspace"]["preserved"]
    assert first[Q] == 25
    assert first[Q.replace("q_proj", "k_proj")] == 12
    kept = stack.method_tensors("one")
    assert kept.keys() == {f"importance.{site}" for site in first}
    values = {Q: 0.2, UP: 0.1}
    tensors = {key: torch.tensor(values.get(key.removeprefix("importance."), 0.15)) for key in kept}
    monkeypatch.setattr(ModuleStack, "method_tensors", lambda self, name: tensors)
    counts = methods.build("osft", adaptive).build(stack, NO_SKILL)["subspace"].options()["preserved"]
    # the mean is 0.15: importance 4/3 and 2/3, so that q saturates (0.1 + 0.7 * 4/3 > 1) with one free direction
    assert counts[Q] == 31
    assert counts[UP] == int((0.1 + 0.7 * 2 / 3) * 32)


def test_importance_is_measured_on_the_phases_examples(
    stack: ModuleStack, begin: Any, adaptive: dict[str, Any]
) -> None:
    run = methods.build("osft", {"ranks": "adaptive"})
    examples = encoded(1)
    seen: list[Tensor] = []
    hook = stack.base.get_submodule(UP).register_forward_hook(
        lambda module, inputs, output: seen.append(input_output_cosine(inputs[0], output))
    )
    with torch.no_grad():
        for example in examples:
            stack.hidden_states(torch.tensor([example.input_ids]))
    hook.remove()
    batches = type("Batches", (), {"examples": examples, "seed": 0, "pad_id": 5})()
    kept = run.end(stack, batches)
    torch.testing.assert_close(kept[f"importance.{UP}"], torch.stack(seen).mean())


@pytest.mark.parametrize("damage", [float("nan"), 3.0])
def test_importance_that_is_no_cosine_is_refused(
    stack: ModuleStack, adaptive: dict[str, Any], monkeypatch: pytest.MonkeyPatch, damage: float
) -> None:
    tensors = {key: torch.tensor(damage) for key in stack.method_tensors("one")}
    monkeypatch.setattr(ModuleStack, "method_tensors", lambda self, name: tensors)
    with pytest.raises(GrowlmError, match="that earlier modules keep is not a cosine"):
        methods.build("osft", adaptive).build(stack, NO_SKILL)


@pytest.mark.parametrize("constraint", ["factor", "block"])
def test_a_schedule(stack: ModuleStack, run_phase: RunPhase, constraint: str) -> None:
    options = {"constraint": constraint, "ranks": "schedule", "num_phases": 2, "target_modules": ["q_proj"]}
    for name, preserved in (("one", 0), ("three", 16)):
        member = run_phase(stack, "osft", name, options)
        assert isinstance(member, Osft)
        assert set(member._counts.values()) == {preserved}
    with pytest.raises(GrowlmError, match="the schedule of 2 osft phases is over, the stack has 2"):
        methods.build("osft", options).build(stack, NO_SKILL)


def test_a_schedule_without_an_end_takes_every_phase_for_the_last(stack: ModuleStack, run_phase: RunPhase) -> None:
    for name, preserved in (("one", 0), ("two", 16), ("three", 21)):  # of 32 directions
        member = run_phase(stack, "osft", name, {"ranks": "schedule", "target_modules": ["q_proj"]})
        assert isinstance(member, Osft)
        assert set(member._counts.values()) == {preserved}


# -- resuming ----------------------------------------------------------------------------------------------------------


def test_the_directions_are_part_of_the_state(stack: ModuleStack, begin: Any) -> None:
    other = copy.deepcopy(stack)
    member = train(stack, begin, {}, "one", steps=3)
    resumed, _ = begin(other, "osft", {}, "one", encoded(3))
    part = other.sites()[Q].parts["one:subspace"]
    part.Q_u.neg_()  # as another machine might have found them
    part.Q_v.neg_()
    resumed.load_state_dict(member.state_dict())
    assert torch.equal(part.Q_u, stack.sites()[Q].parts["one:subspace"].Q_u)
    assert torch.equal(part.Q_v, stack.sites()[Q].parts["one:subspace"].Q_v)
