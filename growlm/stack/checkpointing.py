"""Gradient checkpointing: of each decoder layer only the input is kept for the backward pass, the rest computed again.

Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost" (arXiv 1604.06174). The stock switch of transformers
asks for layers in training mode and for inputs that take a gradient; a stack has neither below its first module.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from growlm.errors import GrowlmError
from growlm.modules.site import part_kind, part_owner
from growlm.registry import module_kinds
from growlm.stack.stack import ModuleStack


@contextmanager
def checkpointed_layers(stack: ModuleStack) -> Iterator[None]:
    """Compute the decoder layers again in the backward pass, for a ``with`` block around a training.

    Gradients are the same; a step takes about a third longer. Passes without gradients stay as they are.

    Args:
        stack: the stack, its path active.

    Raises:
        GrowlmError: if a module on the path has parts of several layers that have to be computed together.
    """
    kinds = {part_kind(key) for site in stack.sites().values() for key in site.parts if part_owner(key) in stack.path}
    if spanning := sorted(kind for kind in kinds if not module_kinds.get(kind).per_layer):
        raise GrowlmError(
            f"{', '.join(spanning)} cannot be computed again layer by layer: leave gradient_checkpointing out"
        )
    layers: Any = stack.base.get_submodule(stack.architecture.family.layers)
    try:
        for layer in layers:
            layer.forward = _checkpointed(stack, layer, layer.forward)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def _checkpointed(stack: ModuleStack, layer: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        path = stack.path

        def on_path(*args: Any) -> Any:
            with stack.active(*path, closed=False):  # the backward pass may run when another path is active
                return forward(*args, **kwargs)

        return checkpoint(on_path, *args, use_reentrant=False)

    return run
