"""Decoder layers compiled while a phase trains, one compilation for all layers that are built alike."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from growlm.stack.stack import ModuleStack


@contextmanager
def compiled_layers(stack: ModuleStack) -> Iterator[None]:
    """Compile the decoder layers with the active path, for a ``with`` block.

    Passes with gradients on this path run compiled, all others as before. Batches of any size share a compilation.
    The look-up of the embedding stays outside: inductor adds up its gradient in no fixed order.

    Args:
        stack: the stack, merged as it is to be trained; no row has a path of its own.
    """
    sites, path = stack.sites().values(), stack.path
    layers = [
        stack.architecture.resolve(stack.architecture.layer_site(n)) for n in range(stack.architecture.num_layers)
    ]
    for site in sites:
        site.compiled_for = site.running()
    for layer in layers:
        layer.forward = _either(stack, path, layer)
    stack.compiled_path = path
    try:
        yield
    finally:
        stack.compiled_path = None
        for layer in layers:
            del layer.forward
        for site in sites:
            site.compiled_for = None


def _either(stack: ModuleStack, path: tuple[str, ...], layer: nn.Module) -> Callable[..., Any]:
    eager = layer.forward
    compiled = torch.compile(eager, dynamic=True)

    def forward(*args: Any, **kwargs: Any) -> Any:
        return (compiled if torch.is_grad_enabled() and stack.path == path else eager)(*args, **kwargs)

    return forward
