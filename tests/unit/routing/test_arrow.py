"""The arrow router: prototypes from weights alone."""

from typing import Any

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.routing.arrow import Arrow, top_direction
from growlm.routing.oracle import Oracle


def no_prompts(split: str, limit: int) -> list[list[int]]:
    raise AssertionError("arrow looks at no data")


def taught(stack: Any, *names: str, **options: Any) -> Arrow:
    router = Arrow(**options)
    for name in ("base", *names):
        router.learn(stack, name, no_prompts)
    return router


def test_the_top_direction_is_that_of_a_full_decomposition():
    delta = torch.randn(20, 12, generator=torch.Generator().manual_seed(0))
    expected = torch.linalg.svd(delta.double())[2][0]
    found = top_direction(delta)
    assert torch.allclose(found.double().abs(), expected.abs(), atol=1e-5)
    assert found[found.abs().argmax()] > 0
    before = torch.random.get_rng_state()
    assert torch.equal(top_direction(delta), found)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_module_is_chosen_for_what_it_stretches(new_stack: Any):
    """A module whose change looks at the inputs of some tokens only is chosen for those tokens."""
    stack = new_stack("first", "second")
    site = "model.layers.0.self_attn.q_proj"
    prompts = {"first": [[0, 60, 60, 60]], "second": [[0, 200, 200, 200]]}
    for name, (prompt,) in prompts.items():
        seen: list[torch.Tensor] = []
        handle = stack.architecture.resolve(site).register_forward_pre_hook(
            lambda module, args, seen=seen: seen.append(args[0])
        )
        with stack.active():
            stack.hidden_states(torch.tensor([prompt]))
        handle.remove()
        with torch.no_grad():
            for key, parameter in stack.module_parameters(name).items():
                if key.endswith(f"{site}.A"):
                    parameter.copy_(seen[0][0, 1:].mean(0).expand_as(parameter))
    router = taught(stack, "first", "second")
    router._prototypes = {name: {site: paths[site]} for name, paths in router._prototypes.items()}
    assert [router.choose(stack, prompts[name]) for name in prompts] == [[("first",)], [("second",)]]


def test_the_state_comes_back_and_chooses_the_same(new_stack: Any, draw: Any):
    stack = new_stack("first", "second")
    router = taught(stack, "first", "second")
    again = Arrow(**router.options())
    again.load_state_dict(router.state_dict(), stack.architecture)
    prompts = [*draw("first")("test", 4), *draw("third")("test", 4)]
    assert again.known() == ("base", "first", "second")
    assert again.choose(stack, prompts) == router.choose(stack, prompts)
    router.forget("second")
    assert router.known() == ("base", "first")
    assert set(router.choose(stack, prompts)) == {("first",)}


def test_below_the_threshold_the_base_answers(new_stack: Any):
    stack = new_stack("first")
    assert taught(stack, "first", threshold=0.99).choose(stack, [[0, 1, 2]]) == [()]
    assert taught(stack).choose(stack, [[0, 1, 2]]) == [()]
    with pytest.raises(GrowlmError, match="threshold"):
        Arrow(threshold=1.0)


def test_a_module_that_changes_no_weight_is_refused(new_stack: Any):
    stack = new_stack("first", kind="block")
    with pytest.raises(GrowlmError, match=r"module 'first' changes no weight.*--router ridge"):
        Arrow().check(stack, "first", no_prompts)
    with pytest.raises(GrowlmError, match="changes no weight"):
        taught(stack, "first")


@pytest.mark.parametrize("key", ["first/model.layers.9.self_attn.q_proj", "first/model.layers.0.self_attn.q_proj"])
def test_a_state_that_does_not_fit_is_refused(new_stack: Any, key: str):
    with pytest.raises(GrowlmError, match="does not fit router 'arrow'"):
        Arrow().load_state_dict({key: torch.zeros(3)}, new_stack("first").architecture)


def test_the_oracle_is_told(new_stack: Any):
    stack = new_stack("first", "second", on="all")
    assert Oracle("second").choose(stack, [[0], [1]]) == [("first", "second")] * 2
    assert Oracle().choose(stack, [[0]]) == [()]
    assert Oracle("first").known() == ("first",)
    with pytest.raises(GrowlmError, match="did you mean 'first'"):
        Oracle("firts").choose(stack, [[0]])
