"""Decoder layers compiled while a phase trains, one compilation for all layers that are built alike."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from growlm.errors import GrowlmError
from growlm.stack.stack import ModuleStack

_ROUNDING = 0.02
"""Greatest relative difference of the losses of compiled and uncompiled layers."""


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


def compare_uncompiled(stack: ModuleStack, loss: Tensor, compute: Callable[[], Tensor]) -> None:
    """Refuse compiled layers that compute something else: a module would be trained for layers that nobody runs.

    With dropout nothing is compared, for what is dropped differs.

    Args:
        stack: the stack, inside ``compiled_layers``.
        loss: what the compiled layers computed for a batch.
        compute: computes the same again.

    Raises:
        GrowlmError: with both losses.
    """
    if any(layer.p for layer in stack.modules() if isinstance(layer, nn.Dropout)):
        return
    with torch.no_grad():  # layers run compiled for gradients alone
        expected = compute().item()
    if abs(loss.item() - expected) > _ROUNDING * expected:
        raise GrowlmError(
            f"compiled decoder layers compute a loss of {loss.item():.4f}, uncompiled ones {expected:.4f} on the same "
            "batch: this version of torch compiles this base wrongly; give --compile false --restart true"
        )


def _either(stack: ModuleStack, path: tuple[str, ...], layer: nn.Module) -> Callable[..., Any]:
    eager = layer.forward
    compiled = torch.compile(eager, dynamic=True)

    def forward(hidden_BTC: Tensor, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled() or stack.path != path:
            return eager(hidden_BTC, *args, **kwargs)
        torch._dynamo.mark_static(hidden_BTC, 2)  # else T = C in the first batch would be compiled as T = C in all
        return compiled(hidden_BTC, *args, **kwargs)

    return forward
