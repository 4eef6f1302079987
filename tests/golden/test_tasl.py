"""TaSL: importance and static fusion against values worked by hand, and phases against independent arithmetic."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from growlm.data.encode import Encoded
from growlm.errors import GrowlmError
from growlm.methods._fusion import fused, static_share
from growlm.methods.importance.running import Importance, smooth
from growlm.methods.importance.units import (
    accumulated,
    important,
    normalised,
    rank_scores,
    spread,
    unit_scores,
)
from growlm.registry import importance_measures, methods
from growlm.stack.loss import trained_token_losses
from growlm.stack.stack import ModuleStack
from tests.golden.conftest import RunPhase, encoded


def assert_close(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


# -- the formulas, by hand ---------------------------------------------------------------------------------------------


def test_sensitivities() -> None:
    weight, gradient = torch.tensor([2.0, -3.0, 0.0]), torch.tensor([0.5, 2.0, 7.0])
    # w g = 1, -6, 0
    by_hand = {"first": [1.0, 6.0, 0.0], "mixed": [0.5, 24.0, 0.0], "second": [1.0, 36.0, 0.0]}  # |1 - 1/2|, |-6 - 18|
    for order, expected in by_hand.items():
        assert_close(importance_measures.build(order).sensitivity(weight, gradient), torch.tensor(expected))
    importance = Importance()
    importance.see("w", weight.bfloat16(), gradient.bfloat16())
    assert importance.state_dict()["mean"]["w"].dtype == torch.float32


def test_smoothing_compares_with_the_new_mean() -> None:
    zero = torch.zeros(1)
    mean, deviation = smooth(zero, zero, torch.tensor([1.0]))
    assert_close((mean, deviation), (torch.tensor([0.15]), torch.tensor([0.1275])))  # 0.15 · |1 - 0.15|
    mean, deviation = smooth(mean, deviation, torch.tensor([0.0]))
    assert_close((mean, deviation), (torch.tensor([0.1275]), torch.tensor([0.1275])))  # 0.85 · 0.1275 + 0.15 · 0.1275
    mean, deviation = smooth(mean, deviation, torch.tensor([1.0]), beta1=0.5, beta2=0.0)
    assert_close((mean, deviation), (torch.tensor([0.56375]), torch.tensor([0.43625])))


def test_running_importance_is_the_product() -> None:
    importance = Importance()
    weight = torch.tensor([[1.0, 2.0]])
    for gradient in (torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]])):
        importance.see("w", weight, gradient)
    scores = importance.elements({"w": weight, "other": torch.ones(3)})
    assert_close(scores["w"], torch.tensor([[0.1275**2, 0.0]], dtype=torch.float64))
    assert_close(scores["other"], torch.zeros(3, dtype=torch.float64))  # never seen
    again = Importance()
    again.load_state_dict(importance.state_dict())
    assert_close(again.elements({"w": weight}), importance.elements({"w": weight}))
    importance.clear()
    assert not importance.elements({"w": weight})["w"].any()


def test_tiny_scores_do_not_vanish() -> None:
    importance = Importance(order="second")
    a_RI, b_OR = torch.tensor([[1e-7, 1e-7], [2e-7, 2e-7]]), torch.tensor([[1e-7, 1e-7]])
    for name, weight in (("lora.x.A", a_RI), ("lora.x.B", b_OR)):
        importance.see(name, weight, torch.full_like(weight, 1e-3))
    scores = unit_scores(importance.elements({"lora.x.A": a_RI, "lora.x.B": b_OR}), "rank")["lora.x"]
    assert 0 < scores[0] < 1e-70  # far below the least fp32
    assert_close(scores[1] / scores[0], torch.tensor(16.0, dtype=torch.float64))  # twice w: s 4 times, Ī Ū 16 times


def test_units_of_rank_one_are_means_of_outer_products() -> None:
    a_RI, b_OR = torch.tensor([[1.0, 3.0], [0.0, 4.0]]), torch.tensor([[1.0, 2.0], [2.0, 0.0], [6.0, 1.0]])
    # a: means 2 and 2; b: means of columns 3 and 1
    assert_close(rank_scores(a_RI, b_OR), torch.tensor([6.0, 2.0]))
    by_hand = torch.stack([torch.outer(b_OR[:, r], a_RI[r]).mean() for r in range(2)])
    assert_close(rank_scores(a_RI, b_OR), by_hand)
    elements = {"lora.x.A": a_RI, "lora.x.B": b_OR}
    assert_close(unit_scores(elements, "rank"), {"lora.x": torch.tensor([6.0, 2.0])})
    assert_close(unit_scores(elements, "matrix"), {"lora.x.A": torch.tensor([2.0]), "lora.x.B": torch.tensor([2.0])})


def test_values_of_units_are_spread_over_rows_of_a_and_columns_of_b() -> None:
    of_units = {"lora.x": torch.tensor([1.0, 10.0])}
    ones_RI, ones_OR = torch.ones(2, 3), torch.ones(4, 2)
    assert_close((ones_RI * spread(of_units, "lora.x.A", "rank"))[:, 0], torch.tensor([1.0, 10.0]))
    assert_close((ones_OR * spread(of_units, "lora.x.B", "rank"))[0], torch.tensor([1.0, 10.0]))
    of_matrix = {"lora.x.A": torch.tensor([7.0])}
    assert_close(ones_RI * spread(of_matrix, "lora.x.A", "matrix"), 7 * ones_RI)


def test_normalising_is_over_all_units_together() -> None:
    scores = {"a": torch.tensor([2.0, 4.0]), "b": torch.tensor([10.0])}
    assert_close(normalised(scores), {"a": torch.tensor([0.0, 0.25]), "b": torch.tensor([1.0])})


def test_equal_scores_are_all_unimportant() -> None:
    for value in (0.0, 3.0):
        scores = {"a": torch.full((4,), value), "b": torch.full((2,), value)}
        assert_close(normalised(scores), {"a": torch.zeros(4), "b": torch.zeros(2)})
        assert not any(found.any() for found in important(scores).values())


def test_accumulating() -> None:
    earlier, new = (
        {"a": torch.tensor([0.0, 1.0]), "b": torch.tensor([0.5])},
        {
            "a": torch.tensor([1.0, 0.0]),
            "b": torch.tensor([0.0]),
        },
    )
    # 0.3 new + 0.7 earlier = 0.3, 0.7, 0.35; less the least 0.3, by the width 0.4
    assert_close(accumulated(earlier, new), {"a": torch.tensor([0.0, 1.0]), "b": torch.tensor([0.125])})
    assert_close(accumulated(earlier, new, 1.0), {"a": torch.tensor([1.0, 0.0]), "b": torch.tensor([0.0])})


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([0.1, 0.9, 0.3, 0.2, 0.4], 0.2, [1]),
        ([0.1, 0.9, 0.3, 0.2, 0.4], 0.4, [1, 4]),
        ([0.1, 0.9, 0.3, 0.2, 0.4], 0.39, [1]),  # rounded down to whole units
        ([0.1, 0.9], 0.2, [1]),  # but at least one
        ([0.9, 0.9, 0.3, 0.2, 0.4], 0.2, []),  # two equal ones have no room
        ([0.9, 0.9, 0.3, 0.2, 0.4], 0.4, [0, 1]),
        ([0.0, 0.0, 0.0, 0.0, 1.0], 0.6, [4]),  # untouched units are never important
        ([5.0], 0.2, []),
    ],
)
def test_the_most_important_share(values: list[float], share: float, expected: list[int]) -> None:
    found = important({"a": torch.tensor(values)}, share)["a"]
    assert found.nonzero().flatten().tolist() == expected


def test_the_share_is_of_all_units_together() -> None:
    scores = {"a": torch.tensor([5.0, 4.0, 3.0]), "b": torch.tensor([[0.5, 0.1]])}
    assert {name: found.tolist() for name, found in important(scores, 0.4).items()} == {
        "a": [True, True, False],
        "b": [[False, False]],
    }


def test_the_four_static_cases() -> None:
    earlier, new = torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False])
    assert_close(static_share(earlier, new), torch.tensor([0.3, 0.0, 1.0, 0.5]))
    assert_close(static_share(earlier, new, both=0.9, neither=0.1), torch.tensor([0.9, 0.0, 1.0, 0.1]))


def test_fusing_keeps_the_ends_bit_for_bit() -> None:
    earlier, new = torch.randn(3, 50), torch.randn(3, 50) * 1e3
    mixed = fused(earlier, new, torch.tensor([[0.0], [1.0], [0.3]]))
    assert torch.equal(mixed[0], earlier[0])
    assert torch.equal(mixed[1], new[1])
    torch.testing.assert_close(mixed[2], 0.3 * new[2] + 0.7 * earlier[2])


# -- phases ------------------------------------------------------------------------------------------------------------

STEPS, RATE = 4, 0.1


def phase_by_hand(
    stack: ModuleStack, name: str, examples: list[Encoded], base: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Train a module of a copy by plain gradient descent, with importance as the formulas say, tensor by tensor."""
    from growlm.data.batches import StepBatches

    batches = StepBatches(examples, 3, 0, pad_id=5)
    parameters = stack.module_parameters(name)
    mean = {key: torch.zeros_like(value) for key, value in parameters.items()}
    spread_ = copy.deepcopy(mean)
    for step in range(STEPS):
        trained_token_losses(stack, batches(step)).mean().backward()
        for key, value in parameters.items():
            weight = value.detach() + base.get(key, 0)
            found = (weight * value.grad).abs()
            mean[key] = 0.85 * mean[key] + 0.15 * found
            spread_[key] = 0.85 * spread_[key] + 0.15 * (found - mean[key]).abs()
            with torch.no_grad():
                value -= RATE * value.grad
            value.grad = None
    scores = {key: (mean[key].double() * spread_[key].double()).mean() for key in mean}
    least, most = min(scores.values()), max(scores.values())
    return stack.module_tensors(name), {key: (value - least) / (most - least) for key, value in scores.items()}


def fused_by_hand(
    old: dict[str, Tensor], new: dict[str, Tensor], old_scores: dict[str, Tensor], new_scores: dict[str, Tensor]
) -> dict[str, Tensor]:
    number = len(old) // 5

    def top(scores: dict[str, Tensor]) -> set[str]:
        return set(sorted(scores, key=lambda key: scores[key].item())[-number:])

    result = {}
    for key in old:
        in_old, in_new = key in top(old_scores), key in top(new_scores)
        share = {(True, True): 0.3, (True, False): 0.0, (False, True): 1.0, (False, False): 0.5}[in_old, in_new]
        result[key] = share * new[key] + (1 - share) * old[key]
    return result


@pytest.mark.parametrize("weights", ["lora", "linears", "all"])
def test_two_phases_by_hand(stack: ModuleStack, run_phase: RunPhase, weights: str) -> None:
    options = {"weights": weights, "rank": 2} if weights == "lora" else {"weights": weights}
    kind = methods.build("tasl", options).kinds()
    hand = copy.deepcopy(stack)
    base = hand.base_tensors()
    hand.attach("one", kind)
    hand.train()
    added_to = {}
    if weights != "lora":  # a difference is as important as the weight that it makes
        added_to = {
            key: base[key.removeprefix("dense.").replace(".layer.", ".")] for key in hand.module_parameters("one")
        }
    old, old_scores = phase_by_hand(hand, "one", encoded(3), added_to)
    run_phase(stack, "tasl", "one", options, steps=STEPS, rate=RATE)
    torch.testing.assert_close(stack.module_tensors("one"), old)  # the first phase is kept as it is
    kept = stack.method_tensors("one")
    for prefix in ("importance/", "phase_importance/"):
        found = {key.removeprefix(prefix): value.squeeze() for key, value in kept.items() if key.startswith(prefix)}
        torch.testing.assert_close(found, {key: value.float() for key, value in old_scores.items()})

    hand.attach("three", kind, on=(), continues="one")
    hand.train()
    new, new_scores = phase_by_hand(hand, "three", encoded(5), added_to)
    run_phase(stack, "tasl", "three", options, steps=STEPS, rate=RATE)
    torch.testing.assert_close(
        stack.module_tensors("three"), fused_by_hand(old, new, old_scores, new_scores), rtol=1e-4, atol=1e-6
    )
    assert not any(torch.equal(new[key], old[key]) for key in new if weights == "lora")
    joined = {key: 0.3 * new_scores[key] + 0.7 * old_scores[key] for key in old_scores}
    least, most = min(joined.values()), max(joined.values())
    for key, value in joined.items():
        found = stack.method_tensors("three")["importance/" + key]
        torch.testing.assert_close(found.squeeze(), ((value - least) / (most - least)).float(), rtol=1e-4, atol=1e-5)


def test_units_of_rank_one_are_fused_one_by_one(stack: ModuleStack, run_phase: RunPhase) -> None:
    options = {"units": "rank", "rank": 4}
    run_phase(stack, "tasl", "one", options)
    plain = copy.deepcopy(stack)
    run_phase(plain, "tasl", "three", {**options, "fusion": "none"})
    run_phase(stack, "tasl", "three", options)
    old, new, found = stack.module_tensors("one"), plain.module_tensors("three"), stack.module_tensors("three")
    old_scores, new_scores = (
        {key.removeprefix(prefix): value for key, value in stack.method_tensors(name).items() if key.startswith(prefix)}
        for prefix, name in (("importance/", "one"), ("phase_importance/", "three"))
    )
    flat_old, flat_new = (torch.cat(list(scores.values())) for scores in (old_scores, new_scores))
    edge_old, edge_new = (flat.sort().values[-(len(flat) // 5) - 1].item() for flat in (flat_old, flat_new))
    seen = set()
    for change, scores in old_scores.items():
        for rank, score in enumerate(scores):
            case = (score.item() > edge_old, new_scores[change][rank].item() > edge_new)
            share = {(True, True): 0.3, (True, False): 0.0, (False, True): 1.0, (False, False): 0.5}[case]
            for factor, at in ((".A", (rank,)), (".B", (slice(None), rank))):
                key = change + factor
                torch.testing.assert_close(found[key][at], share * new[key][at] + (1 - share) * old[key][at])
            seen.add(case)
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("options", "parent", "parent_options"),
    [
        ({"rank": 2}, "lora_sequential", {"rank": 2}),
        ({"weights": "all"}, "sequential", {}),
        ({"rank": 2, "units": "rank"}, "lora_sequential", {"rank": 2}),
    ],
)
def test_without_fusion_it_is_sequential_bit_for_bit(
    stack: ModuleStack, run_phase: RunPhase, options: dict[str, Any], parent: str, parent_options: dict[str, Any]
) -> None:
    results = []
    for method, given in ((parent, parent_options), ("tasl", {**options, "fusion": "none"}), ("tasl", options)):
        other = copy.deepcopy(stack)
        run_phase(other, method, "one", given)
        run_phase(other, method, "three", given)
        results.append(other.module_tensors("three"))
    plain, off, on = results
    assert all(torch.equal(off[key], value) for key, value in plain.items())
    assert not all(torch.equal(on[key], value) for key, value in plain.items())


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_one_global_merge_is_a_plain_weighted_average(stack: ModuleStack, run_phase: RunPhase, share: float) -> None:
    run_phase(stack, "tasl", "one", {"fusion": "none"})
    old, plain = stack.module_tensors("one"), copy.deepcopy(stack)
    run_phase(plain, "tasl", "three", {"fusion": "none"})
    run_phase(stack, "tasl", "three", {"fusion": "average", "average_share": share})
    for key, value in plain.module_tensors("three").items():
        torch.testing.assert_close(stack.module_tensors("three")[key], share * value + (1 - share) * old[key])


def test_what_nobody_touched_is_averaged_with_itself(stack: ModuleStack, begin: Any) -> None:
    member, batches = begin(stack, "tasl", {"rank": 2}, "one", encoded(5))
    before = {key: value.clone() for key, value in stack.module_tensors("one").items()}
    kept = member.end(stack, batches)  # not a single step
    assert all(not value.any() and torch.isfinite(value).all() for value in kept.values())
    assert all(torch.equal(stack.module_tensors("one")[key], value) for key, value in before.items())


def test_another_sort_of_units_is_refused(stack: ModuleStack, run_phase: RunPhase, begin: Any) -> None:
    run_phase(stack, "tasl", "one", {"rank": 2})
    with pytest.raises(GrowlmError, match=r"module 'one' keeps no importance of 'lora\.[\w.]+' that fits: go on with"):
        begin(stack, "tasl", {"rank": 2, "units": "rank"}, "three", encoded(5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": "rank", "weights": "all"}, "tasl units 'rank' need weights 'lora', found 'all'"),
        ({"beta1": 1.5}, "tasl beta1 1.5 is not between 0 and 1"),
        ({"important_share": float("nan")}, "tasl important_share nan is not between 0 and 1"),
        ({"both_share": -0.1}, "tasl both_share -0.1 is not"),
        ({"accumulate": 2.0}, "tasl accumulate 2.0 is not"),
        ({"temperature": 0.0}, "tasl temperature 0.0 is too small"),
        ({"fusion": "sum"}, "option 'fusion' is \"sum\", expected"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GrowlmError, match=message):
        methods.build("tasl", options)
