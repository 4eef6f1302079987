"""Merging: a stock transformers model that computes what a stack computes with a path active."""

import copy
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from growlm.base.architecture import reordered_config
from growlm.errors import GrowlmError
from growlm.manifest.path import Path, normalise
from growlm.modules.directions import linear_weight
from growlm.modules.site import Part, Site, is_in_part, part_kind, part_owner, stock_name
from growlm.stack.stack import ModuleStack


def merge(stack: ModuleStack, path: Sequence[str] | None = None) -> PreTrainedModel:
    """Build a stock model of the base's own class that computes what a stack computes with a path active.

    Changes of weights are added to the weights, fused ones as one; inserted layers become ordinary layers.

    Args:
        stack: the stack; it is not changed.
        path: the path; None: the active one.

    Returns:
        The stock model in evaluation mode; its outputs are the path's up to rounding.

    Raises:
        GrowlmError: for an unknown name, a path that is not closed, or a kind that no stock model can compute.
    """
    path = stack.path if path is None else normalise(path, stack.parents())
    if stack.quantization is not None:
        raise GrowlmError(f"a base in {stack.quantization} cannot be merged: load the stack without quantization")
    sites = stack.sites()
    for site in sites.values():
        _check_mergeable(site, path)
    weights = _merged_weights(stack, sites, path)
    tied = stack.architecture.tied_embeddings()
    untied = tied is not None and not torch.equal(*(weights[f"{site}.weight"] for site in tied))
    if not any(part.cache_slot is not None for site in sites.values() for part in _on_path(site, path)):
        return _filled(stack, copy.deepcopy(stack.base.config), weights, untied)
    layers_path = stack.architecture.family.layers
    sources: list[tuple[int, nn.Module]] = []  # of each layer, whose settings it has, and the layer in the stack
    state = {name: tensor for name, tensor in weights.items() if not name.startswith(f"{layers_path}.")}
    for layer in range(stack.architecture.num_layers):
        site_path = stack.architecture.layer_site(layer)
        prefix = f"{site_path}."
        own = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
        parts = [part for part in _on_path(sites.get(site_path), path) if part.cache_slot is not None]
        inserted = [(part.inserted_layer(), part.inserted_layer().state_dict()) for part in parts]
        for source, tensors in ((stack.architecture.resolve(site_path), own), *inserted):
            state |= {f"{layers_path}.{len(sources)}.{name}": tensor for name, tensor in tensors.items()}
            sources.append((layer, source))
    model = _filled(stack, reordered_config(stack.base.config, [layer for layer, _ in sources]), state, untied)
    for index, (_, source) in enumerate(sources):
        _keep_attention_scale(stack, source, model.get_submodule(f"{layers_path}.{index}"))
    return model


def _filled(stack: ModuleStack, config: PreTrainedConfig, state: Mapping[str, Tensor], untied: bool) -> PreTrainedModel:
    """Build a stock model of the base's class from its tensors."""
    if untied:  # one of the two embeddings has changed and the other has not
        config.tie_word_embeddings = False
    model = type(stack.base)(config)
    model.load_state_dict({name: tensor.clone() for name, tensor in state.items()})
    model.generation_config = stack.base.generation_config
    nn.Module.to(model, dtype=stack.dtype, device=stack.device)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def effective_weight(stack: ModuleStack, site: str, path: Path) -> Tensor:
    """Compute the weight by which a linear of the base multiplies its input with a path active.

    Args:
        stack: the stack.
        site: the linear's stock path.
        path: the path.

    Returns:
        The weight in fp64, [O, I].

    Raises:
        GrowlmError: if a part on the path changes something else than the linear's weight.
    """
    weight_OI = linear_weight(stack.architecture.resolve(site)).double()
    for part in _on_path(stack.sites().get(site), path):
        weight_OI = weight_OI + part.delta_weight().double()
    return weight_OI


def _merged_weights(stack: ModuleStack, sites: Mapping[str, Site], path: Path) -> dict[str, Tensor]:
    """Return the base's tensors by stock name, with the changes of a path added."""
    state = stack.base.state_dict()
    weights = {stock_name(name): tensor for name, tensor in state.items() if not is_in_part(name)}
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
    return weights


@torch.no_grad()
def _keep_attention_scale(stack: ModuleStack, source: nn.Module, layer: nn.Module) -> None:
    """Scale the queries of a merged layer whose attention divides by its index, which merging has changed."""
    attention = stack.architecture.family.output_projections[0].rpartition(".")[0]
    scales = [getattr(module.get_submodule(attention), "scaling", None) for module in (source, layer)]
    if scales[0] == scales[1]:
        return
    queries = stack.architecture.family.queries
    if queries is None or stack.architecture.family.fused == "heads":
        raise GrowlmError("the attention of this base depends on the layer's index: merge a path without a block")
    linear = layer.get_submodule(queries)
    heads, width = stack.architecture.heads()
    for parameter in linear.parameters():  # a Conv1D has outputs last; queries are the first of them
        outputs = parameter if isinstance(linear, Conv1D) else parameter.movedim(0, -1)
        outputs[..., : heads * width] *= cast(float, scales[0]) / cast(float, scales[1])


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
