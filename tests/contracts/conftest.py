"""Stacks for the contracts: every registered kind, on small random bases."""

from pathlib import Path
from typing import Any

import pytest
import torch

from growlm.base.architecture import FAMILIES
from growlm.files import combined_digest, tensor_digests
from growlm.manifest.manifest import ModuleRecord
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds
from growlm.stack.stack import ModuleStack

REPRESENTATIVE = {
    "gemma": "dense",
    "gemma2": "block",
    "gemma3_text": "embedding",
    "gpt_neo": "lora",
    "gpt_neox": "experts",
    "granite": "embedding",
    "mistral": "prefix",
    "mixtral": "block",
    "olmo2": "block",
    "opt": "dense",
    "phi3": "prefix",
    "qwen2": "lora",
    "qwen2_moe": "lora",
    "qwen3": "bottleneck",
    "qwen3_moe": "block",
    "smollm3": "subspace",
    "t5": "lora",
}
"""Of these families the one kind of module that the default tier runs: the one that shows what is particular."""
KINDS = [*([kind] for kind in module_kinds), list(module_kinds)]
DECODERS = sorted(name for name, family in FAMILIES.items() if family.encoder is None)
"""The families whose bases are causal language models."""
METHODS = ("ewc", "grow", "replay")
"""Methods whose phases the default tier runs: one that begins anew, one that goes on, and one around another."""
KILLED = ("ewc",)
"""Of these, the phases that it kills at each of several steps, too."""
TWO_FAMILIES = ("test_merged_frozen_modules_compute_the_same", "test_modules_off_the_path_are_offloaded")
"""Contracts that the default tier runs on two families, as they wrap the base in few ways."""
TOGETHER = ("test_saved_and_loaded_bit_for_bit", "test_undo_in_memory_gives_the_earlier_stack")
"""Contracts without families that the default tier runs for all kinds together, too."""


def is_covered(name: str, params: dict[str, Any]) -> bool:
    """Return whether a contract belongs to the default tier: of each product of members a selection that covers all.

    Every kind runs alone on one family, all kinds together on another, and on each further family one kind; of the
    methods, some run.

    Args:
        name: the test's name without its parameters.
        params: its parameters.
    """
    if method := params.get("method"):
        killed = name.startswith(("test_a_killed", "test_another_seed"))
        return name == "test_the_file_says_what_it_costs_and_what_proves_it" or method in (
            KILLED if killed else METHODS
        )
    kinds = params.get("kinds")
    if params.get("offload_to") is False and kinds != ["lora"]:
        return False
    family = params.get("family", "llama")
    if kind := REPRESENTATIVE.get(family):
        return kinds in (None, [kind]) and name not in TWO_FAMILIES
    if kinds is None or (family == "llama" and name in TOGETHER):
        return True
    return (len(kinds) == 1) == (family == "llama")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the rest of each product of members to the exhaustive tier; take out kinds that a family refuses."""
    items[:] = [item for item in items if not _is_refused(item)]
    for item in items:
        own = item.path.parent == Path(__file__).parent and isinstance(item, pytest.Function)
        if own and hasattr(item, "callspec") and not is_covered(item.originalname, item.callspec.params):
            item.add_marker("exhaustive")


def _is_refused(item: pytest.Item) -> bool:
    """Return whether a test's kinds do not fit its family; one test of its own holds that they are refused."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    has_encoder = params.get("family") in FAMILIES and FAMILIES[params["family"]].encoder is not None
    return has_encoder and not all(module_kinds.get(kind).encoder_decoder for kind in params.get("kinds", ()))


@pytest.fixture(params=KINDS, ids="+".join)
def kinds(request: pytest.FixtureRequest) -> dict[str, ModuleKind]:
    """Every kind alone, and all of them together in one module."""
    return {kind: build(kind, request.node.callspec.params.get("family", "llama")) for kind in request.param}


def build(kind: str, family: str) -> ModuleKind:
    """Build a kind with the options that a family takes."""
    linears = kind == "dense" and FAMILIES[family].encoder is not None
    return module_kinds.build(kind, {"weights": "linears"} if linears else {})


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
