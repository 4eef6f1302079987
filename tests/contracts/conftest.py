"""Stacks for the contracts: every registered kind, on small random bases."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from growlm.files import combined_digest, tensor_digests
from growlm.manifest.manifest import ModuleRecord
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds
from growlm.stack.stack import ModuleStack

KINDS = [*([kind] for kind in module_kinds), list(module_kinds)]


@pytest.fixture(params=KINDS, ids="+".join)
def kinds(request: pytest.FixtureRequest) -> dict[str, ModuleKind]:
    """Every kind alone, and all of them together in one module."""
    return {kind: module_kinds.build(kind) for kind in request.param}


@pytest.fixture
def new_stack(tiny_bases: dict[str, Path]) -> Callable[..., ModuleStack]:
    """Make a stack without modules on the small base of a family."""
    return lambda family="llama": ModuleStack.from_base(str(tiny_bases[family])).eval()


def disturb(stack: ModuleStack, name: str, seed: int = 0) -> None:
    """Move a module's parameters as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in stack.module_parameters(name).values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def freeze(stack: ModuleStack, name: str, kinds: dict[str, ModuleKind]) -> None:
    """Freeze a growing module with a record that says only what it must."""
    tensors = tensor_digests(stack.module_tensors(name))
    stack.freeze(
        ModuleRecord(
            name=name,
            kinds={kind: options.options() for kind, options in kinds.items()},
            parents=stack.parents()[name],
            skill={"name": name, "options": {}},
            method={"name": "grow", "options": {}},
            seed=0,
            recipe={},
            parameters=sum(tensor.numel() for tensor in stack.module_tensors(name).values()),
            tensors=tensors,
            digest=combined_digest(tensors),
        )
    )


def grown(stack: ModuleStack, name: str, kinds: dict[str, ModuleKind], on: tuple[str, ...] | None = None) -> None:
    """Attach, disturb and freeze a module."""
    stack.attach(name, kinds, on)
    disturb(stack, name, seed=len(stack.parents()))
    freeze(stack, name, kinds)


def tokens(rows: int = 3, length: int = 12) -> torch.Tensor:
    """Draw token ids, [B, T]."""
    return torch.randint(6, 300, (rows, length), generator=torch.Generator().manual_seed(1))
