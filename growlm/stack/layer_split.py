"""A pass through a stack in two parts: the decoder layers below a chosen one, and that one with all above it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from growlm.errors import GrowlmError
from growlm.modules.site import part_owner
from growlm.stack.stack import ModuleStack

_TOKENS = 8


def lowest_layer(stack: ModuleStack, module: str) -> int:
    """Return the first decoder layer whose inputs do not depend on a module.

    Args:
        stack: the stack.
        module: name of the module.

    Returns:
        The index of the lowest layer that the module has a part in; the number of layers, if it has parts only in what
        comes after them; 0, if it changes what comes before them.
    """
    architecture = stack.architecture
    paths = [path for path, _ in stack.base.named_modules()]
    list_at = paths.index(architecture.family.layers)
    lowest = architecture.num_layers
    for path, site in stack.sites().items():
        if module not in map(part_owner, site.parts):
            continue
        inside = architecture.layer_of(path)
        if inside is not None:
            lowest = min(lowest, inside)
        elif paths.index(path) < list_at:
            return 0
    return lowest


class LayerSplit:
    """Runs the decoder layers of a stack in two parts; see ``split_layers``.

    Args:
        stack: the stack.
        first: index of the first layer of the upper part; from 1 to the number of layers.

    Attributes:
        dtype: what hidden states are held in between the layers.
    """

    def __init__(self, stack: ModuleStack, first: int) -> None:
        self._stack = stack
        self._first = first
        self._part: Literal["whole", "lower", "upper"] = "whole"
        self._between: Tensor | None = None  # what the lower part returns and the upper one gets
        self._returns_tuple = False
        self.dtype = stack.dtype

    def hidden_below(self, input_ids: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """Compute what the upper part gets, with the active path.

        Args:
            input_ids: token ids, [B, T].
            position_ids: see ``ModuleStack.hidden_states``.

        Returns:
            Hidden states, [B, T, D].
        """
        with self._only("lower", None):
            # with gradients on, although nothing takes one: compiled layers run so only then
            self._stack.hidden_states(input_ids, position_ids=position_ids)
            assert self._between is not None
            return self._between.detach()

    @contextmanager
    def above(self, hidden_BTD: Tensor) -> Iterator[None]:
        """Run the upper part alone in every pass of a ``with`` block.

        Args:
            hidden_BTD: what ``hidden_below`` returned for the tokens of these passes.
        """
        with self._only("upper", hidden_BTD):
            yield

    def forward_of(self, number: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        """Return a layer's ``forward`` that is skipped where the other part runs.

        Args:
            number: index of the layer.
            forward: its ``forward`` so far.
        """
        is_lower, is_last_below = number < self._first, number == self._first - 1

        def run(hidden_BTD: Tensor, *args: Any, **kwargs: Any) -> Any:
            if self._part == ("upper" if is_lower else "lower"):
                skipped = self._between if is_last_below else hidden_BTD
                return (skipped,) if self._returns_tuple else skipped
            result = forward(hidden_BTD, *args, **kwargs)
            self._returns_tuple = isinstance(result, tuple)
            if is_last_below and self._part == "lower":
                self._between = result[0] if self._returns_tuple else result
            return result

        return run

    @contextmanager
    def _only(self, part: Literal["lower", "upper"], between: Tensor | None) -> Iterator[None]:
        self._part, self._between = part, between
        try:
            yield
        finally:
            self._part, self._between = "whole", None

    def check(self) -> None:
        """Compare both parts, one after the other, with a pass through all layers on a few tokens.

        Raises:
            GrowlmError: if they differ.
        """
        tokens_1T = torch.arange(_TOKENS, device=self._stack.device)[None]
        with torch.no_grad():
            whole_1TD = self._stack.hidden_states(tokens_1T)
            below_1TD = self.hidden_below(tokens_1T)
            with self.above(below_1TD):
                parts_1TD = self._stack.hidden_states(tokens_1T)
        self.dtype = below_1TD.dtype
        if not torch.equal(whole_1TD, parts_1TD):
            raise GrowlmError(
                f"the layers of a base of type {self._stack.architecture.config.model_type!r} depend on more than the "
                "hidden states of the layer below: leave cache_hidden_states out"
            )


@contextmanager
def split_layers(stack: ModuleStack, first: int) -> Iterator[LayerSplit]:
    """Let the decoder layers of a stack be run in two parts, for a ``with`` block; passes are whole unless asked for.

    Args:
        stack: the stack, its path active.
        first: index of the first layer of the upper part; from 1 to the number of layers.

    Raises:
        GrowlmError: if the upper part needs more of the lower one than its hidden states.
    """
    split = LayerSplit(stack, first)
    layers: Any = stack.base.get_submodule(stack.architecture.family.layers)
    before = [vars(layer).get("forward") for layer in layers]
    try:
        for number, layer in enumerate(layers):
            layer.forward = split.forward_of(number, layer.forward)
        split.check()
        yield split
    finally:
        for layer, forward in zip(layers, before, strict=True):
            _restore(layer, forward)


def _restore(layer: nn.Module, forward: Any) -> None:
    if forward is None:
        vars(layer).pop("forward", None)
    else:
        layer.forward = forward
