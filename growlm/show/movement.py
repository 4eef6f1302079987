"""How far a module moves the hidden states, layer by layer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from growlm.errors import needs_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from growlm.stack.stack import ModuleStack


@torch.no_grad()
def layer_outputs(stack: "ModuleStack", input_ids: Tensor, path: Sequence[str]) -> Tensor:
    """Compute the hidden states after every decoder layer of the base, what is inserted behind it included.

    Args:
        stack: the stack.
        input_ids: tokens, [B, T].
        path: the path to be active.

    Returns:
        Hidden states, [L, B, T, D] for the base's L layers.
    """
    outputs: list[Tensor] = []

    def keep(_layer: nn.Module, _inputs: Any, output: Any) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    layers: Any = stack.base.get_submodule(stack.architecture.family.layers)
    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        with stack.active(*path, closed=False):
            stack(input_ids, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(outputs)


def movement(stack: "ModuleStack", input_ids: Tensor, path: Sequence[str], other: Sequence[str] = ()) -> Tensor:
    """Measure how far one path's hidden states are from another's.

    Args:
        stack: the stack.
        input_ids: tokens, [B, T].
        path: the path to look at.
        other: the path to compare with; by default the bare base.

    Returns:
        For each layer, the norm of the difference as a share of the other's norm, mean over tokens, [L].
    """
    here_LBTD, there_LBTD = layer_outputs(stack, input_ids, path), layer_outputs(stack, input_ids, other)
    distance_LBT = (here_LBTD - there_LBTD).norm(dim=-1) / there_LBTD.norm(dim=-1)
    return distance_LBT.flatten(1).mean(1)


def plot_movement(movements: Mapping[str, Tensor]) -> "Axes":
    """Plot movements, one line each.

    Args:
        movements: by label, what ``movement`` gave, [L].

    Returns:
        The axes of a new plot.

    Raises:
        GrowlmError: if matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise needs_extra("a plot", "matplotlib", "plots") from None
    _, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    for label, values_L in movements.items():
        axes.plot(range(1, len(values_L) + 1), values_L.tolist(), marker="o", label=label)
    axes.set_xlabel("decoder layer of the base")
    axes.set_ylabel("relative movement")
    axes.set_title("how far a path moves the hidden states from the bare base")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    return axes
