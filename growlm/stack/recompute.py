"""Activation functions are computed again for the backward pass instead of being kept.

A gated feed-forward part keeps three tensors of its inner width in every layer: what its activation function is given,
what that gives, and what this is multiplied with. The second follows from the first in no time, and is a sixth of all
that a pass through a Llama-like base with frozen weights keeps. (Selective recomputation: Korthikanti et al. 2022,
arXiv 2205.05198.)
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from transformers.activations import ACT2CLS

_CLASSES = (entry[0] if isinstance(entry, tuple) else entry for entry in ACT2CLS.values())
_ACTIVATIONS = tuple({found for found in _CLASSES if isinstance(found, type)})


@contextmanager
def recomputed_activations(model: nn.Module) -> Iterator[None]:
    """Keeps no output of an activation function for the backward pass, for a ``with`` block around the forward pass.

    Gradients are the same bit for bit.

    Args:
        model: the model whose activation functions these are.
    """
    if not torch.is_grad_enabled():
        yield
        return
    keeper = _Keeper()
    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, _ACTIVATIONS):
                stack.callback(module.register_forward_hook(keeper.ran).remove)
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(keeper.pack, _unpack))
        yield


class _Keeper:
    """Knows the last output of an activation function, to keep how it is computed in its place."""

    def __init__(self) -> None:
        self._output: Callable[[], Tensor | None] = lambda: None
        self._again: Callable[[], Tensor] | None = None

    def ran(self, function: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self._output = ref(output)
        self._again = lambda: function.forward(*inputs)  # not called: the hooks of a pass are not for a second one

    def pack(self, tensor: Tensor) -> Any:
        output, again = self._output(), self._again
        if output is None or again is None or not _same_numbers(tensor, output):
            return tensor
        shape = tensor.shape
        return lambda: again().view(shape)


def _same_numbers(tensor: Tensor, output: Tensor) -> bool:
    """Tells whether a tensor is an output that is still there, or the same numbers in another shape."""
    if tensor.data_ptr() != output.data_ptr() or tensor.numel() != output.numel():
        return False
    return tensor.is_contiguous() and output.is_contiguous()


def _unpack(kept: Any) -> Tensor:
    return kept if isinstance(kept, Tensor) else kept()
