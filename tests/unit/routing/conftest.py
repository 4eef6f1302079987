"""A small stack with modules whose skills are easy to tell apart, and prompts of each."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from growlm.files import combined_digest, tensor_digests
from growlm.manifest.manifest import ModuleRecord
from growlm.registry import module_kinds
from growlm.stack.stack import ModuleStack

Prompts = list[list[int]]
WORDS = {
    name: range(50 * number, 50 * number + 6) for number, name in enumerate(("base", "first", "second", "third"), 1)
}


def drawn(name: str) -> Callable[..., Prompts]:
    """Return prompts of a module's skill: words of its own, other ones in each split."""

    def draw(split: str, limit: int, *, augment: bool = False) -> Prompts:
        dice = random.Random(f"{name}/{split}")
        return [[0, *dice.choices(WORDS[name], k=dice.randint(3, 9))] for _ in range(min(limit, 80))]

    return draw


@pytest.fixture
def draw() -> Callable[[str], Callable[..., Prompts]]:
    return drawn


@pytest.fixture
def new_stack(empty_stack: Callable[..., ModuleStack]) -> Callable[..., ModuleStack]:
    """Make a stack with modules of a kind, each moved as training would, none grown on another."""

    def make(*names: str, kind: str = "lora", on: str = "none", family: str = "llama") -> ModuleStack:
        stack = empty_stack(family)
        for number, name in enumerate(names):
            add_module(stack, name, kind, () if on == "none" else names[:number])
        return stack

    return make


def add_module(stack: ModuleStack, name: str, kind: str, on: tuple[str, ...]) -> None:
    options: dict[str, Any] = {"lora": {"rank": 2}, "block": {"num_blocks": 1}}[kind]
    built = module_kinds.build(kind, options)
    stack.attach(name, {kind: built}, on)
    generator = torch.Generator().manual_seed(len(stack.parents()))
    with torch.no_grad():
        for parameter in stack.module_parameters(name).values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    tensors = tensor_digests(stack.module_tensors(name))
    stack.freeze(
        ModuleRecord(
            name=name,
            kinds={kind: built.options()},
            parents=on,
            skill={"name": name, "options": {}, "train_digest": ""},
            method={"name": "grow", "options": {}},
            seed=0,
            recipe={},
            parameters=sum(tensor.numel() for tensor in stack.module_tensors(name).values()),
            tensors=tensors,
            digest=combined_digest(tensors),
            cost={"steps": 1, "tokens": 1, "seconds": 0.1},
        )
    )
