"""Recurrent-KIF: masks and the fusion of a round by hand, and rounds against independent arithmetic."""

import copy
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from growlm.data.batches import StepBatches
from growlm.data.encode import Encoded
from growlm.errors import GrowlmError
from growlm.methods._fusion import fused_round, mask_weights
from growlm.registry import methods
from growlm.stack.loss import trained_token_losses
from growlm.stack.stack import ModuleStack
from tests.golden.conftest import RunPhase, encoded


def test_the_four_cases_of_two_masks() -> None:
    inner, outer = torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False])
    inner_weight, outer_weight = mask_weights(inner, outer)
    torch.testing.assert_close(inner_weight, torch.tensor([0.4, 1.0, 0.0, 0.5]))
    torch.testing.assert_close(outer_weight, torch.tensor([0.6, 0.0, 1.0, 0.5]))


def test_fusing_a_round_by_hand() -> None:
    start, inner, outer = torch.tensor([1.0, 1.0]), torch.tensor([3.0, 1.0]), torch.tensor([2.0, 5.0])
    # τ_in = 2, 0 and τ_out = -1, 4
    found = fused_round(start, inner, outer, torch.tensor([0.4, 0.5]), torch.tensor([0.6, 0.5]))
    torch.testing.assert_close(found, torch.tensor([1 + 0.8 - 0.6, 1 + 0 + 2.0]))


OPTIONS = {"rank": 2, "inner_steps": 3, "outer_steps": 2, "outer_rate": 2.0, "memory_share": 0.5}


def remembered(stack: ModuleStack, name: str, examples: list[Encoded]) -> list[Encoded]:
    """Read the examples that a module keeps, and check that they are the phase's."""
    kept = stack.method_tensors(name)
    ends = kept["memory/offsets"].tolist()
    tokens = [tuple(kept["memory/tokens"][a:b].tolist()) for a, b in pairwise(ends)]
    by_tokens = {example.input_ids: example for example in examples}
    return [by_tokens[ids] for ids in tokens]


def loop_by_hand(
    stack: ModuleStack, parameters: dict[str, Any], batches: list[Any], rate: float, scores: dict[str, Tensor]
) -> None:
    """Take steps of plain gradient descent, and the importance of every element as the formulas say."""
    for batch in batches:
        trained_token_losses(stack, batch).mean().backward()
        for key, value in parameters.items():
            found = (value.detach() * value.grad).abs()
            mean = 0.85 * scores.get(key + "/mean", torch.zeros_like(found)) + 0.15 * found
            old = scores.get(key + "/deviation", torch.zeros_like(found))
            scores[key + "/mean"], scores[key + "/deviation"] = mean, 0.85 * old + 0.15 * (found - mean).abs()
            with torch.no_grad():
                value -= rate * value.grad
            value.grad = None


def top_by_hand(scores: dict[str, Tensor], keys: list[str]) -> dict[str, Tensor]:
    """Select the fifth of all elements whose product of both means is the greatest."""
    products = {key: (scores[key + "/mean"].double() * scores[key + "/deviation"].double()) for key in keys}
    flat = torch.cat([value.flatten() for value in products.values()]).sort().values
    edge = flat[-(len(flat) // 5) - 1]
    return {key: value > edge for key, value in products.items()}


def test_a_phase_of_two_rounds_by_hand(stack: ModuleStack, run_phase: RunPhase) -> None:
    run_phase(stack, "recurrent_kif", "one", OPTIONS, examples=encoded(3))
    hand = copy.deepcopy(stack)
    run_phase(stack, "recurrent_kif", "three", OPTIONS, examples=encoded(5), steps=10, rate=0.1)

    from growlm.data.batches import collate

    memory = remembered(hand, "one", encoded(3))
    assert len(memory) == 3
    hand.attach("three", methods.build("recurrent_kif", OPTIONS).kinds(), on=(), continues="one")
    hand.train()
    parameters = dict(hand.module_parameters("three"))
    keys, outer = list(parameters), {}
    batches = StepBatches(encoded(5), 3, 0, pad_id=5)
    for begin in (0, 5):
        inner: dict[str, Tensor] = {}
        start = {key: value.detach().clone() for key, value in parameters.items()}
        loop_by_hand(hand, parameters, [batches(begin + step) for step in range(3)], 0.1, inner)
        middle = {key: value.detach().clone() for key, value in parameters.items()}
        drawn = []
        for step in (begin + 3, begin + 4):
            torch.manual_seed(step)
            rows = torch.randint(3, (len(batches(step).input_ids),)).tolist()
            drawn.append(collate([memory[row] for row in rows], 5))
        loop_by_hand(hand, parameters, drawn, 2 * 0.1, outer)
        new, old = top_by_hand(inner, keys), top_by_hand(outer, keys)
        for key, value in parameters.items():
            both, neither = new[key] & old[key], ~new[key] & ~old[key]
            weight = torch.where(both, 0.4, torch.where(neither, 0.5, new[key].float()))
            with torch.no_grad():
                step_in, step_out = middle[key] - start[key], value - middle[key]
                value.copy_(start[key] + weight * step_in + (1 - weight) * step_out)
    found = stack.module_tensors("three")
    off = torch.cat([((found[key] - value).abs() > 1e-5).flatten() for key, value in parameters.items()])
    assert off.float().mean() < 0.001  # an element at the edge of a mask may fall to the other side by rounding
    moved = torch.cat([(found[key] - stack.module_tensors("one")[key]).abs().flatten() for key in keys])
    assert moved.mean() > 1e-4


def test_the_first_phase_is_sequential_bit_for_bit(stack: ModuleStack, run_phase: RunPhase) -> None:
    plain = copy.deepcopy(stack)
    run_phase(plain, "lora_sequential", "one", {"rank": 2})
    run_phase(stack, "recurrent_kif", "one", OPTIONS)
    assert all(
        torch.equal(stack.module_tensors("one")[key], value) for key, value in plain.module_tensors("one").items()
    )


@pytest.mark.parametrize(("steps", "is_fused"), [(2, False), (3, False), (4, True), (5, True), (7, True)])
def test_a_round_that_is_cut_short_is_fused_from_its_outer_loop_on(
    stack: ModuleStack, run_phase: RunPhase, steps: int, is_fused: bool
) -> None:
    run_phase(stack, "recurrent_kif", "one", OPTIONS)
    plain = copy.deepcopy(stack)
    run_phase(plain, "recurrent_kif", "three", {**OPTIONS, "fusion": "none"}, steps=steps)
    run_phase(stack, "recurrent_kif", "three", OPTIONS, steps=steps)
    same = all(
        torch.equal(stack.module_tensors("three")[key], value) for key, value in plain.module_tensors("three").items()
    )
    assert same != is_fused


def test_a_mean_of_both_changes_is_half_of_each(stack: ModuleStack, run_phase: RunPhase) -> None:
    run_phase(stack, "recurrent_kif", "one", OPTIONS)
    results = {}
    for fusion, steps in (("none", 3), ("none", 5), ("average", 5)):
        other = copy.deepcopy(stack)
        run_phase(other, "recurrent_kif", "three", {**OPTIONS, "fusion": fusion}, steps=steps)
        results[fusion, steps] = other.module_tensors("three")
    for key, start in stack.module_tensors("one").items():
        inner, outer = results["none", 3][key] - start, results["none", 5][key] - results["none", 3][key]
        torch.testing.assert_close(results["average", 5][key], start + inner / 2 + outer / 2)


@pytest.mark.parametrize("fusion", ["mask", "softmax", "average", "none"])
def test_every_ablation_can_be_run(stack: ModuleStack, run_phase: RunPhase, fusion: str) -> None:
    for name in ("one", "three", "seven"):
        run_phase(stack, "recurrent_kif", name, {**OPTIONS, "fusion": fusion}, steps=6)
    kept = stack.method_tensors("seven")
    assert kept["memory/seen"].tolist() == [6, 6, 6]
    assert sorted(set(kept["memory/owners"].tolist())) == [0, 1, 2]
    assert all(value.min() >= 0 and value.max() <= 1 for key, value in kept.items() if "importance/" in key)


def test_only_outer_steps_see_the_memory(stack: ModuleStack, run_phase: RunPhase, begin: Any) -> None:
    run_phase(stack, "recurrent_kif", "one", OPTIONS, examples=encoded(3))
    member, batches = begin(stack, "recurrent_kif", OPTIONS, "three", encoded(5))
    old = {example.input_ids for example in encoded(3)}
    seen = []
    for step in range(7):
        torch.manual_seed(step)
        batch = member.batch(batches(step))
        rows = [tuple(token for token in row if token != 5) for row in batch.input_ids.tolist()]
        seen.append(all(row in old for row in rows))
        member.after_step()
    assert seen == [False] * 3 + [True] * 2 + [False] * 2


def test_a_memory_that_is_damaged_is_refused(stack: ModuleStack, run_phase: RunPhase, begin: Any) -> None:
    run_phase(stack, "recurrent_kif", "one", OPTIONS)
    stack._method_tensors["one"] = {}
    with pytest.raises(
        GrowlmError, match="module 'one': the examples kept for replay lack a list of integers 'tokens'"
    ):
        begin(stack, "recurrent_kif", OPTIONS, "three", encoded(5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inner_steps": 0}, "recurrent_kif inner_steps 0 is too small: give 1 or more"),
        ({"outer_steps": 0}, "recurrent_kif outer_steps 0 is too small"),
        ({"outer_rate": 0.0}, "recurrent_kif outer_rate 0.0 is too small: give more than 0"),
        ({"memory_share": 2.0}, "recurrent_kif memory_share 2.0 is not between 0 and 1"),
        ({"beta2": -1.0}, "recurrent_kif beta2 -1.0 is not"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GrowlmError, match=message):
        methods.build("recurrent_kif", options)
