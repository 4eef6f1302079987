"""The ridge router: joint in the end, exact to unlearn, at home in its domain only."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.routing import ridge
from growlm.routing._features import shallow_features
from growlm.routing.prompts import DrawnPrompts
from growlm.routing.ridge import Ridge, augmented, hashed, mean_and_covariance, moment, packed, ridge_weights, unpacked

NAMES = ("base", "first", "second", "third")


def taught(stack: Any, draw: Callable[[str], Any], names: tuple[str, ...] = NAMES, **options: Any) -> Ridge:
    router = Ridge(**options)
    for name in names:
        router.learn(stack, name, draw(name))
    return router


def test_phase_by_phase_equals_the_joint_least_squares_solution():
    """Against an independent solver: weighted rows and ridge rows, all data at once."""
    generator = torch.Generator().manual_seed(0)
    groups = [torch.randn(n, 12, generator=generator, dtype=torch.float64) + k for k, n in enumerate((50, 7, 200))]
    penalty = 1e-2
    penalty_D = torch.tensor([10 * penalty] * 4 + [penalty] * 8, dtype=torch.float64)
    found = ridge_weights([moment(group) / len(group) for group in groups], penalty_D)
    weights = torch.cat([torch.full((len(group), 1), len(group) ** -0.5, dtype=torch.float64) for group in groups])
    x = torch.cat([augmented(group) for group in groups]) * weights
    y = torch.block_diag(*[torch.ones(len(group), 1, dtype=torch.float64) for group in groups]) * weights
    ridge = (torch.cat([penalty_D, torch.zeros(1).double()]) * x.square().sum(0)).sqrt()
    joint = torch.linalg.lstsq(torch.cat([x, ridge.diag()]), torch.cat([y, torch.zeros(13, 3).double()])).solution
    assert torch.allclose(found, joint, atol=1e-9)


def test_the_order_of_phases_does_not_matter(new_stack: Any, draw: Any):
    stack = new_stack("first", "second", "third")
    solutions = [taught(stack, draw, order).weights() for order in list(permutations(NAMES))[::7]]
    assert all(torch.equal(solution, solutions[0]) for solution in solutions[1:])


def test_every_phase_equals_the_joint_solution_so_far(new_stack: Any, draw: Any):
    stack = new_stack("first", "second", "third")
    growing = Ridge()
    for number, name in enumerate(NAMES, 1):
        growing.learn(stack, name, draw(name))
        features = [growing._features(stack, draw(known)("train", 10**6)) for known in NAMES[:number]]
        penalty_D = torch.tensor([growing.turn_penalty] * 32 + [growing.penalty] * 64, dtype=torch.float64)
        joint = ridge_weights([moment(group) / len(group) for group in features], penalty_D)
        assert torch.allclose(growing.weights(), joint, atol=1e-5)


def test_what_is_seen_of_a_skills_prompts_is_computed_once(new_stack: Any, draw: Any, monkeypatch: pytest.MonkeyPatch):
    stack = new_stack("first")
    prompts = DrawnPrompts(draw("first")("train", 80))
    counted: list[int] = []

    def features(stack: Any, prompts: Any, layer: int, last_words: int) -> torch.Tensor:
        counted.append(layer)
        return shallow_features(stack, prompts, layer, last_words)

    monkeypatch.setattr(ridge, "shallow_features", features)
    first = Ridge()._features(stack, prompts)
    assert torch.equal(Ridge()._features(stack, prompts), first)
    assert torch.equal(Ridge()._features(stack, list(prompts)), first)
    assert len(counted) == 2, "of a list that is not a skill's prompts it is computed each time"
    assert Ridge(width=8)._features(stack, prompts).shape[1] == 8
    assert Ridge(last_words=0)._features(stack, prompts).shape[1] == 64


@pytest.mark.parametrize(("width", "share"), [(256, 0.98), (16, 0.9)])
def test_separable_skills_are_told_apart(new_stack: Any, draw: Any, width: int, share: float):
    stack = new_stack("first", "second", "third")
    router = taught(stack, draw, width=width)
    right = total = 0
    for name in NAMES:
        chosen = router.choose(stack, draw(name)("test", 80))
        right += sum(path == stack.path_of(name) for path in chosen)
        total += len(chosen)
    assert right >= share * total


def test_a_choice_is_the_same_whatever_path_is_active(new_stack: Any, draw: Any):
    stack = new_stack("first", "second", kind="block", on="all")
    router = taught(stack, draw, NAMES[:3])
    prompts = [*draw("first")("test", 5), *draw("second")("test", 5), *draw("base")("test", 5)]
    expected = [("first",)] * 5 + [("first", "second")] * 5 + [()] * 5
    for active in ((), ("first",), ("first", "second")):
        with stack.active(*active):
            assert router.choose(stack, prompts) == expected
            assert stack.path == active


def test_what_is_unlike_anything_known_goes_to_the_base(new_stack: Any, draw: Any):
    stack = new_stack("first", "second")
    router = taught(stack, draw, ("base", "first", "second"), slack=1.25)
    strange = draw("third")("test", 40)
    assert router.choose(stack, strange).count(()) >= 38
    careless = taught(stack, draw, ("base", "first", "second"), slack=1e9)
    assert careless.choose(stack, strange).count(()) < 38


def test_limits_do_not_move_when_more_is_learned(new_stack: Any, draw: Any):
    stack = new_stack("first", "second", "third")
    early, late = taught(stack, draw, NAMES[:2]).state_dict(), taught(stack, draw).state_dict()
    assert all(torch.equal(late[key], value) for key, value in early.items())


def test_unlearning_is_exact(new_stack: Any, draw: Any):
    stack = new_stack("first", "second", "third")
    router = taught(stack, draw)
    router.forget("second")
    never = taught(stack, draw, ("base", "first", "third")).state_dict()
    assert router.known() == ("base", "first", "third")
    assert {key: value.tolist() for key, value in router.state_dict().items()} == {
        key: value.tolist() for key, value in never.items()
    }


def test_the_state_comes_back_to_the_last_bit(new_stack: Any, draw: Any):
    stack = new_stack("first", "second")
    router = taught(stack, draw, NAMES[:3], width=20)
    again = Ridge(**router.options())
    again.load_state_dict(router.state_dict(), stack.architecture)
    assert again.known() == router.known()
    assert torch.equal(again.weights(), router.weights())
    assert all(torch.equal(again.state_dict()[key], value) for key, value in router.state_dict().items())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("moment/first", torch.zeros(5).double()),
        ("moment/first", torch.zeros(231).float()),
        ("moment/first", torch.zeros(231).double()),
        ("limit/first", torch.tensor(torch.nan).double()),
        ("limit/second", torch.tensor(1.0).double()),
        ("other/first", torch.tensor(1.0).double()),
    ],
)
def test_a_state_that_does_not_fit_is_refused(new_stack: Any, draw: Any, key: str, value: torch.Tensor):
    stack = new_stack("first")
    state = taught(stack, draw, NAMES[:2], width=20).state_dict() | {key: value}
    with pytest.raises(GrowlmError, match="does not fit router 'ridge'"):
        Ridge(width=20).load_state_dict(state, stack.architecture)


def test_copies_are_learned_from_and_set_the_limit(new_stack: Any, draw: Any):
    """With copies, what is learned is what a skill with the copies among its prompts would give."""
    stack = new_stack("first")

    def with_copies(split: str, limit: int, *, augment: bool = False) -> list[list[int]]:
        prompts = draw("first")(split, limit)
        return [*prompts, *[prompt[:2] for prompt in prompts]] if augment else prompts

    def always(split: str, limit: int, *, augment: bool) -> list[list[int]]:
        return with_copies(split, limit, augment=True)

    states = []
    for augment, learned in ((True, with_copies), (False, always), (False, with_copies)):
        router = Ridge(augment=augment)
        router.learn(stack, "first", learned)
        states.append(router.state_dict())
    assert states[0]["moment/first"][-1] == 160
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert states[2]["moment/first"][-1] == 80


def test_a_state_of_fewer_features_is_refused(new_stack: Any, draw: Any):
    stack = new_stack("first")
    state = taught(stack, draw, NAMES[:2], last_words=0).state_dict()
    with pytest.raises(GrowlmError, match="does not fit router 'ridge'"):
        Ridge().load_state_dict(state, stack.architecture)
    Ridge(last_words=0).load_state_dict(state, stack.architecture)


def test_without_knowledge_everything_goes_to_the_base(new_stack: Any):
    assert Ridge().choose(new_stack(), [[0, 1], [0]]) == [(), ()]


def test_options_that_cannot_work_are_refused(new_stack: Any, draw: Any):
    for options in ({"slack": 0}, {"last_words": -1}, {"turn_penalty": 0}, {"width": 3}):
        with pytest.raises(GrowlmError, match="router 'ridge' cannot work"):
            Ridge(**options)
    with pytest.raises(GrowlmError, match=r"layers .* do not fit"):
        Ridge(layer=4).check(new_stack(), "first", draw("first"))
    with pytest.raises(GrowlmError, match="skill 'first' has no prompt in its train split"):
        Ridge().check(new_stack(), "first", lambda split, limit, augment: [])


@pytest.mark.parametrize(
    ("options", "sizes", "penalties"),
    [
        ({"width": 512}, (32, 32, 32), [0.5] * 32 + [0.25] * 64),
        ({"width": 100}, (25, 25, 32), [0.5] * 25 + [0.25] * 57),
        ({"width": 20}, (5, 5, 10), [0.5] * 5 + [0.25] * 15),
        ({"width": 512, "last_words": 0}, (64,), [0.25] * 64),
        ({"width": 20, "last_words": 0}, (20,), [0.25] * 20),
    ],
)
def test_half_of_the_width_is_the_last_words(
    new_stack: Any, draw: Any, options: dict[str, Any], sizes: tuple[int, ...], penalties: list[float]
):
    stack, prompts = new_stack(), draw("first")("train", 9)
    router = Ridge(penalty=0.25, turn_penalty=0.5, **options)
    last_words = options.get("last_words", 12)
    pooled = shallow_features(stack, prompts, 2, last_words).split(64 if last_words == 0 else 32, 1)
    expected = torch.cat([hashed(part, size) for part, size in zip(pooled, sizes, strict=True)], 1)
    assert torch.equal(router._features(stack, prompts), expected)
    router.learn(stack, "base", draw("base"))
    router.learn(stack, "first", draw("first"))
    means = [router._moments[name] / 80 for name in ("base", "first")]
    assert torch.equal(router.weights(), ridge_weights(means, torch.tensor(penalties, dtype=torch.float64)))


def test_moments_hold_mean_and_covariance():
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean, covariance = mean_and_covariance(unpacked(packed(moment(x)), 5))
    assert torch.allclose(mean, x.mean(0))
    assert torch.allclose(covariance, torch.cov(x.T, correction=0))


def test_folding_keeps_inner_products_and_never_changes():
    x = torch.randn(2, 4_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = hashed(x, 1_000)
    assert y.shape == (2, 1_000)
    assert torch.allclose(y @ y.T, x @ x.T, atol=500, rtol=0.1)
    assert (
        hashed(torch.eye(6, dtype=torch.float64), 3).tolist() == hashed(torch.eye(6, dtype=torch.float64), 3).tolist()
    )
    assert torch.equal(hashed(x, 4_000), x)
