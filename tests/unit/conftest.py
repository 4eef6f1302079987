"""Stacks for the unit tests."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def new_stack(empty_stack: Callable[..., Any]) -> Callable[..., Any]:
    """Make a stack of one family with modules on it, each moved as training would."""

    def make(
        family: str = "llama", modules: tuple[str, ...] = ("first",), skill: str | tuple[str, ...] = "chat"
    ) -> Any:
        import torch

        from growlm.files import combined_digest, tensor_digests
        from growlm.manifest.manifest import ModuleRecord
        from growlm.modules.lora import Lora

        stack = empty_stack(family)
        of_each = (skill,) * len(modules) if isinstance(skill, str) else skill
        for number, name in enumerate(modules):
            stack.attach(name, {"lora": Lora(rank=2)}, seed=number)
            with torch.no_grad():
                for parameter in stack.module_parameters(name).values():
                    parameter.add_(0.2 * torch.randn(parameter.shape))
            tensors = tensor_digests(stack.module_tensors(name))
            stack.freeze(
                ModuleRecord(
                    name=name,
                    kinds={"lora": Lora(rank=2).options()},
                    parents=stack.parents()[name],
                    skill={"name": of_each[number], "options": {"num_test": 2, "num_train": 16}},
                    method={"name": "grow", "options": {}},
                    seed=number,
                    recipe={},
                    parameters=sum(tensor.numel() for tensor in stack.module_tensors(name).values()),
                    tensors=tensors,
                    digest=combined_digest(tensors),
                )
            )
        return stack

    return make
