"""Gradient checkpointing: the same gradients, less kept, and nothing left on the layers."""

from pathlib import Path

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.registry import module_kinds
from growlm.stack.checkpointing import checkpointed_layers
from growlm.stack.stack import ModuleStack
from tests.contracts.conftest import disturb, tokens

# nearest has nothing in the layers
LAYER_BY_LAYER = sorted(kind for kind in module_kinds if module_kinds.get(kind).per_layer and kind != "nearest")


def gradients(stack: ModuleStack) -> tuple[dict[str, torch.Tensor], int]:
    """Return the gradients of a pass, and how many bytes it kept for them."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    parameters = stack.module_parameters("first")
    for parameter in parameters.values():
        parameter.grad = None
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = stack.logits(stack.hidden_states(tokens(8, 40))).square().mean()
    stack.set_path(())  # the backward pass may run when another path is active
    loss.backward()
    stack.set_path(("first",))
    return {name: parameter.grad.clone() for name, parameter in parameters.items() if parameter.grad is not None}, sum(
        kept.values()
    )


@pytest.mark.parametrize("kind", LAYER_BY_LAYER)
def test_gradients_are_the_same_and_less_is_kept(tiny_bases: dict[str, Path], kind: str) -> None:
    stack = ModuleStack.from_base(str(tiny_bases["llama"]))
    stack.attach("first", {kind: module_kinds.build(kind)})
    disturb(stack, "first")
    stack.train()
    expected, kept = gradients(stack)
    with checkpointed_layers(stack):
        found, kept_less = gradients(stack)
    assert found.keys() == expected.keys() == stack.module_parameters("first").keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert kept_less < (0.9 if kind == "embedding" else 0.6) * kept
    assert not any("forward" in vars(layer) for layer in stack.base.get_submodule("model.layers"))


@pytest.mark.parametrize("kind", ["experts", "lora_concat"])
def test_what_is_computed_with_other_layers_is_refused(tiny_bases: dict[str, Path], kind: str) -> None:
    stack = ModuleStack.from_base(str(tiny_bases["llama"]))
    stack.attach("first", {kind: module_kinds.build(kind)})
    with pytest.raises(GrowlmError, match=f"{kind} cannot be computed again"), checkpointed_layers(stack):
        pass
