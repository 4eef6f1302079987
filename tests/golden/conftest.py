"""Phases without a trainer: a method's hooks called in order on a small random base; and the scripts of benchmarks."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from growlm.data.batches import StepBatches
from growlm.data.encode import Encoded
from growlm.data.example import Example, Split
from growlm.files import combined_digest, tensor_digests
from growlm.manifest.manifest import ModuleRecord
from growlm.methods.method import Method
from growlm.registry import methods
from growlm.skills.skill import Skill
from growlm.stack.stack import ModuleStack

RunPhase = Callable[..., Method]


class NoSkill(Skill):
    """A skill that is never asked for examples: they are encoded already."""

    metric = "exact_match"

    def examples(self, split: Split) -> Iterator[Example]:
        raise AssertionError(split)


NO_SKILL = NoSkill()


def encoded(seed: int, count: int = 6, length: int = 7) -> list[Encoded]:
    """Draw examples of random tokens whose last ones are trained."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(6, 300, (count, length), generator=generator).tolist()
    return [
        Encoded(f"{seed}:{index}", tuple(row[: length - index % 3]), tuple(at >= 2 for at in range(length - index % 3)))
        for index, row in enumerate(rows)
    ]


@pytest.fixture
def stack(empty_stack: Callable[..., ModuleStack]) -> ModuleStack:
    """A stack without modules."""
    return empty_stack()


@pytest.fixture
def begin() -> Callable[..., tuple[Method, StepBatches]]:
    """Return a function that does what a phase does before its first step."""

    def begin(
        stack: ModuleStack, method: str, options: dict[str, Any], name: str, examples: list[Encoded]
    ) -> tuple[Method, StepBatches]:
        member: Method = methods.build(method, options)
        on = member.grow_on(stack, stack.manifest.current())
        kinds = member.build(stack, NO_SKILL)
        stack.attach(name, kinds, on, continues=member.continues(stack))
        batches = StepBatches(examples, 3, 0, pad_id=5)
        member.begin(stack, name, batches)
        stack.train()
        return member, batches

    return begin


@pytest.fixture
def run_phase(begin: Callable[..., tuple[Method, StepBatches]]) -> RunPhase:
    """Return a function that runs a phase with plain gradient descent, from attaching to freezing."""

    def run(
        stack: ModuleStack,
        method: str,
        name: str,
        options: dict[str, Any] | None = None,
        examples: list[Encoded] | None = None,
        steps: int = 4,
        rate: float = 0.1,
    ) -> Method:
        continues = methods.build(method, options).continues(stack)
        member, batches = begin(stack, method, options or {}, name, examples or encoded(len(name)))
        parameters = list(member.parameters(stack, name))
        for step in range(steps):
            torch.manual_seed(step)
            member.loss(stack, member.batch(batches(step))).backward()
            member.after_backward()
            with torch.no_grad():
                for parameter in parameters:
                    parameter -= rate * parameter.grad
                    parameter.grad = None
            member.after_step()
        kept = member.end(stack, batches)
        tensors = tensor_digests(stack.module_tensors(name))
        record = ModuleRecord(
            name=name,
            kinds={kind: made.options() for kind, made in member.build(stack, NO_SKILL).items()},
            parents=stack.parents()[name],
            skill={"name": name, "options": {}},
            method={"name": method, "options": options or {}},
            seed=0,
            recipe={},
            parameters=sum(parameter.numel() for parameter in parameters),
            tensors=tensors,
            digest=combined_digest(tensors),
            supersedes=(continues,) if continues else (),
        )
        stack.freeze(replace(record, method_tensors=tensor_digests(kept)), kept)
        return member

    return run


def load_benchmark(name: str) -> Any:
    """Import a script of benchmarks/, which is not a package."""
    path = Path(__file__).parents[2] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
