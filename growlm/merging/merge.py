"""Merging: a stock transformers model that computes what a stack computes with a path active."""

from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from growlm.base.architecture import reordered_config
from growlm.errors import GrowlmError
from growlm.manifest.path import Path
from growlm.modules.site import Part, Site, part_kind, part_owner, stock_name

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


def merge(stack: "ModuleStack", path: Path) -> PreTrainedModel:
    """Builds a stock model of the base's own class with a path's modules folded in.

    Changes of weights are added to the weights, fused ones as one; inserted layers become ordinary layers.

    Args:
        stack: the stack; it is not changed.
        path: the path, in order of growth.

    Returns:
        The stock model in evaluation mode; its outputs are the path's up to rounding.

    Raises:
        GrowlmError: if a kind on the path cannot be folded into a stock model.
    """
    sites = stack.sites()
    for site in sites.values():
        _check_mergeable(site, path)
    state = stack.base.state_dict()
    weights = {stock_name(name): tensor for name, tensor in state.items() if ".parts." not in name}
    for site_path, site in sites.items():
        merged_layer = site.merged_layer() if path == stack.path else None
        if merged_layer is not None:
            weights |= {f"{site_path}.{name}": tensor.detach() for name, tensor in merged_layer.named_parameters()}
            continue
        for part in _on_path(site, path):
            if part.cache_slot is None:
                for name, delta in part.deltas(site.original).items():
                    key = f"{site_path}.{name}"
                    weights[key] = weights[key] + delta.detach().to(weights[key].dtype)
    tied = stack.architecture.tied_embeddings()
    untied = tied is not None and not torch.equal(*(weights[f"{path}.weight"] for path in tied))
    layers_path = stack.architecture.family.layers
    order: list[int] = []
    merged_weights = {name: tensor for name, tensor in weights.items() if not name.startswith(f"{layers_path}.")}
    for layer in range(stack.architecture.num_layers):
        prefix = f"{layers_path}.{layer}."
        stock = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
        parts = _on_path(sites.get(prefix[:-1]), path)
        inserted = [part.inserted_layer().state_dict() for part in parts if part.cache_slot is not None]
        for state in (stock, *inserted):
            merged_weights |= {f"{layers_path}.{len(order)}.{name}": tensor for name, tensor in state.items()}
            order.append(layer)
    config = reordered_config(stack.base.config, order)
    if untied:  # the one embedding has changed and the other has not
        config.tie_word_embeddings = False
    model = cast(PreTrainedModel, type(stack.base)(config))
    model.load_state_dict({name: tensor.clone() for name, tensor in merged_weights.items()})
    model.generation_config = stack.base.generation_config
    nn.Module.to(model, dtype=stack.dtype, device=stack.device)
    return model.eval().requires_grad_(False)


def _check_mergeable(site: Site, path: Path) -> None:
    for key, part in site.parts.items():
        if part_owner(key) in path and not cast(Part, part).mergeable:
            raise GrowlmError(
                f"module {part_owner(key)!r} has a {part_kind(key)}, which no stock model can compute: merge a path "
                "without it, or keep the stack"
            )


def _on_path(site: Site | None, path: Path) -> list[Part]:
    if site is None:
        return []
    return [cast(Part, part) for key, part in site.parts.items() if part_owner(key) in path]
