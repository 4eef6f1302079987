"""Merging: a stock transformers model that computes what a stack computes with a path active."""

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from growlm.base.anatomy import reordered_config
from growlm.modules._site import Part, Site, part_owner, stock_name
from growlm.stack.path import Path

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


def merge(stack: "ModuleStack", path: Path) -> PreTrainedModel:
    """Builds a stock model of the base's own class with a path's modules folded in.

    Changes of weights are added to the weights; inserted layers become ordinary layers.

    Args:
        stack: the stack; it is not changed.
        path: the path, in order of growth.

    Returns:
        The stock model in evaluation mode; its outputs are the path's up to rounding.

    Raises:
        GrowlmError: if a kind on the path cannot be folded into a stock model.
    """
    sites = stack.sites()
    state = stack.base.state_dict()
    weights = {stock_name(name): tensor for name, tensor in state.items() if ".parts." not in name}
    layers_path = stack.anatomy.family.layers
    order: list[int] = []
    merged_weights = {name: tensor for name, tensor in weights.items() if not name.startswith(f"{layers_path}.")}
    for layer in range(stack.anatomy.num_layers):
        prefix = f"{layers_path}.{layer}."
        stock = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
        for linear in stack.anatomy.linears:
            if site := sites.get(prefix + linear):
                stock[f"{linear}.weight"] = _folded(site, path)
        inserted = [part.inserted_layer().state_dict() for part in _on_path(sites.get(prefix[:-1]), path)]
        for state in (stock, *inserted):
            merged_weights |= {f"{layers_path}.{len(order)}.{name}": tensor for name, tensor in state.items()}
            order.append(layer)
    model = cast(PreTrainedModel, type(stack.base)(reordered_config(stack.base.config, order)))
    model.load_state_dict({name: tensor.clone() for name, tensor in merged_weights.items()})
    model.generation_config = stack.base.generation_config
    nn.Module.to(model, dtype=stack.dtype, device=stack.device)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def _folded(site: Site, path: Path) -> Tensor:
    weight = cast(nn.Parameter, site.original.weight).detach().clone()
    for part in _on_path(site, path):
        delta_OI = part.delta_weight().to(weight.dtype)
        weight += delta_OI.T if isinstance(site.original, Conv1D) else delta_OI
    return weight


def _on_path(site: Site | None, path: Path) -> list[Part]:
    if site is None:
        return []
    return [cast(Part, part) for key, part in site.parts.items() if part_owner(key) in path]
