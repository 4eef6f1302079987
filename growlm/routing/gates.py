"""The router inside a stack with experts: its gates, and a pass that goes no further than they do."""

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from torch import Tensor, nn

from growlm.modules.experts import GatePart
from growlm.stack.sites import capture_inputs

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


class _DoneError(Exception):
    """Ends a forward pass at the first deep layer."""


def gates(stack: "ModuleStack") -> dict[str, GatePart]:
    """Return the gates of the router between shallow and deep layers by their modules, in order of growth."""
    found = {
        part.owner: part
        for site in stack.sites().values()
        for part in site.parts.values()
        if isinstance(part, GatePart)
    }
    return {name: found[name] for name in stack.parents() if name in found}


def run_shallow_layers(stack: "ModuleStack", input_ids_BT: Tensor, boundary: int) -> None:
    """Run the layers below the boundary with the active path, so that its gates have noted their logits.

    Args:
        stack: the stack.
        input_ids_BT: tokens, padded on the right, [B, T].
        boundary: how many layers are shallow.
    """

    def end(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        raise _DoneError

    first_deep = stack.architecture.resolve(stack.architecture.layer_site(boundary))
    with capture_inputs([first_deep], end), suppress(_DoneError):
        stack.hidden_states(input_ids_BT)


def shallow_modules(stack: "ModuleStack", path: Iterable[str], boundary: int) -> tuple[str, ...]:
    """Return the modules of a path that change what a gate reads: those with other parts below the boundary.

    Args:
        stack: the stack.
        path: the path.
        boundary: how many layers are shallow.
    """
    deep = {stack.architecture.layer_site(layer) for layer in range(boundary, stack.architecture.num_layers)}
    changing = {
        part.owner
        for place, site in stack.sites().items()
        for part in site.parts.values()
        if not isinstance(part, GatePart) and not any(f"{place}.".startswith(f"{layer}.") for layer in deep)
    }
    return tuple(name for name in path if name in changing)
