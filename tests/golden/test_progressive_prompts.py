"""Progressive prompts: earlier prefixes are read and stay; what a skill's path computes never changes again."""

import torch

from growlm.files import tensor_digests
from growlm.registry import methods
from growlm.stack.stack import ModuleStack
from tests.contracts.conftest import tokens
from tests.golden.conftest import NO_SKILL, RunPhase


def test_each_skill_reads_all_prefixes_up_to_its_own(stack: ModuleStack, run_phase: RunPhase) -> None:
    options = {"length": 3}
    seen = {}
    digests = {}
    for name in ("one", "three", "seven"):
        run_phase(stack, "progressive_prompts", name, options, steps=6)
        seen[name] = stack(tokens()).logits
        digests[name] = tensor_digests(stack.module_tensors(name))
    assert [stack.path_of(name) for name in seen] == [("one",), ("one", "three"), ("one", "three", "seven")]
    for name, logits in seen.items():
        with stack.active(*stack.path_of(name)):
            assert torch.equal(stack(tokens()).logits, logits)
        assert tensor_digests(stack.module_tensors(name)) == digests[name]
    with stack.active("seven", closed=False):  # without the earlier ones it is another function
        assert (stack(tokens()).logits - seen["seven"]).abs().max() > 1e-5


def test_a_new_prefix_gets_gradients_beside_the_frozen_ones(stack: ModuleStack, run_phase: RunPhase) -> None:
    run_phase(stack, "progressive_prompts", "one", {"length": 3})
    member = methods.build("progressive_prompts", {"length": 2, "layers": [1, 2]})
    stack.attach("two", member.build(stack, NO_SKILL))
    stack(tokens()).logits.square().mean().backward()
    gradients = {name: parameter.grad for name, parameter in stack.module_parameters("two").items()}
    # keys of values that are worth nothing make no difference yet
    assert {name.rpartition(".")[2]: bool(grad.any()) for name, grad in gradients.items() if grad is not None} == {
        "keys": False,
        "values": True,
    }
    assert len(gradients) == 2 * 2
    assert all(parameter.grad is None for parameter in stack.module_parameters("one").values())


def test_the_skill_is_named() -> None:
    assert methods.get("progressive_prompts").inference == "oracle"
