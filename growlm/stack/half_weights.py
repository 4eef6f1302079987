"""Frozen linears held in bf16 while a phase trains, so that no step casts what never changes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from growlm.stack.stack import ModuleStack


@contextmanager
def half_frozen_linears(stack: ModuleStack) -> Iterator[None]:
    """Hold the frozen fp32 weights of the linears that run on the active path in bf16, for a ``with`` block.

    Under bf16 autocast every product reads these weights in bf16 anyway: results are the same bit for bit, and no step
    casts them again. A weight that bf16 holds exactly takes no memory besides; of any other the original is kept.

    Args:
        stack: the stack; linears that share their weight with an embedding stay as they are.
    """
    originals: dict[nn.Parameter, Tensor | None] = {}
    for weight in _frozen_weights(stack):
        half = weight.data.to(torch.bfloat16)
        originals[weight] = None if torch.equal(half.float(), weight.data) else weight.data
        weight.data = half
    try:
        yield
    finally:
        for weight, original in originals.items():
            weight.data = weight.data.float() if original is None else original.to(weight.device)


def _frozen_weights(stack: ModuleStack) -> set[nn.Parameter]:
    sites = stack.sites().values()
    merged = {site.original: found.layer[0] for site in sites if (found := site.merged_for_path()) is not None}
    running = [*merged.values(), *(module for module in stack.base.modules() if module not in merged)]
    embeddings = {module.weight for module in running if isinstance(module, nn.Embedding)}
    weights = {module.weight for module in running if isinstance(module, nn.Linear)} - embeddings
    return {
        weight
        for weight in weights
        if isinstance(weight, nn.Parameter) and not weight.requires_grad and weight.dtype == torch.float32
    }
