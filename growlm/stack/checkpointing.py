"""Gradient checkpointing: of each decoder layer only the input is kept for the backward pass, the rest computed again.

Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost" (arXiv 1604.06174). The stock switch of transformers
asks for layers in training mode and for inputs that take a gradient; a stack has neither below its first module.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import save_on_cpu
from torch.utils.checkpoint import checkpoint
from transformers import Cache, PreTrainedModel

from growlm.base.architecture import Architecture
from growlm.errors import GrowlmError
from growlm.modules.context import ForwardContext
from growlm.modules.site import part_kind, part_owner
from growlm.registry import module_kinds
from growlm.stack.sites import Sites


class CheckpointingMixin:
    """The switch of transformers that its trainer and TRL's turn, for the decoder layers of a stack.

    Gradients are the same; a step takes about a third longer. Passes without gradients and those with a key-value cache
    stay as they are.
    """

    supports_gradient_checkpointing = True
    base: PreTrainedModel
    architecture: Architecture
    _context: ForwardContext
    _sites: Sites
    _checkpointed: tuple[nn.Module, ...] = ()

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether gradient checkpointing is on."""
        return bool(self._checkpointed)

    is_activation_checkpointing = is_gradient_checkpointing
    """The name that newer versions of transformers read."""

    def gradient_checkpointing_enable(
        self,
        gradient_checkpointing_kwargs: Mapping[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """Compute the decoder layers again in the backward pass, until ``gradient_checkpointing_disable``.

        ``activation_checkpointing_enable``, as newer versions of transformers name it, calls this.

        Args:
            gradient_checkpointing_kwargs: arguments of ``torch.utils.checkpoint.checkpoint``.
            every_n_layers: compute only every n-th layer again.
            offload: keep the inputs of these layers in the memory of the CPU.

        Raises:
            GrowlmError: for ``use_reentrant=True``; here and in the forward pass, if a module on the path has parts of
                several layers that have to be computed together.
        """
        options = {"use_reentrant": False, **(gradient_checkpointing_kwargs or {})}
        if options["use_reentrant"]:
            raise GrowlmError(
                "use_reentrant=True needs inputs that take a gradient, which a stack has not below its first module: "
                "leave it out"
            )
        _check_per_layer(self._sites, self._context)
        self.gradient_checkpointing_disable()
        sites = map(self.architecture.layer_site, range(self.architecture.num_layers))
        self._checkpointed = tuple(map(self.base.get_submodule, sites))[::every_n_layers]
        for layer in self._checkpointed:
            is_first = layer is self._checkpointed[0]
            forward = _Checkpointed(layer.forward, self._context, self._sites, options, offload, is_first)
            layer.forward = forward

    def gradient_checkpointing_disable(self) -> None:
        """Keep what the backward pass needs again."""
        for layer in self._checkpointed:
            vars(layer).pop("forward", None)
        self._checkpointed = ()


@contextmanager
def checkpointed_layers(stack: CheckpointingMixin) -> Iterator[None]:
    """Compute the decoder layers again in the backward pass, for a ``with`` block around a training.

    Args:
        stack: the stack, its path active.

    Raises:
        GrowlmError: if a module on the path has parts of several layers that have to be computed together.
    """
    stack.gradient_checkpointing_enable()
    try:
        yield
    finally:
        stack.gradient_checkpointing_disable()


@dataclass(frozen=True)
class _Checkpointed:
    """The ``forward`` of a decoder layer that is computed again; an object, so that a copy of the stack has its own."""

    forward: Callable[..., Any]
    context: ForwardContext
    sites: Sites
    options: Mapping[str, Any]
    offload: bool
    is_first: bool

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        cached = any(isinstance(given, Cache) for given in (*args, *kwargs.values()))  # a cache is written to once
        if cached or not torch.is_grad_enabled():
            return self.forward(*args, **kwargs)
        if self.is_first:
            _check_per_layer(self.sites, self.context)
        path = self.context.path

        def on_path(*args: Any) -> Any:
            with self.context.activated(path):  # the backward pass may run when another path is active
                return self.forward(*args, **kwargs)

        with save_on_cpu(pin_memory=True) if self.offload else nullcontext():
            return checkpoint(on_path, *args, **self.options)


def _check_per_layer(sites: Sites, context: ForwardContext) -> None:
    """Refuse modules on the active path whose layers have to be computed together."""
    modules = context.path.modules
    kinds = {part_kind(key) for site in sites.by_path().values() for key in site.parts if part_owner(key) in modules}
    if spanning := sorted(kind for kind in kinds if not module_kinds.get(kind).per_layer):
        raise GrowlmError(
            f"{', '.join(spanning)} cannot be computed again layer by layer: leave gradient_checkpointing out"
        )
