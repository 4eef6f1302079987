"""Where each supported family keeps its layers, its linears and its output projections."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from growlm.errors import GrowlmError


@dataclass(frozen=True)
class Family:
    """What differs between families of decoders.

    Args:
        layers: dotted path of the list of decoder layers in the causal language model.
        output_projections: dotted paths, inside a layer, of the projections that write to the residual stream: that of
            the attention, then that of the feed-forward part.
        num_layers_key: the config's own name for the number of layers.
        queries: dotted path, inside a layer, of the linear that computes the queries.
        fused: how the queries lie beside keys and values in that linear's output: not at all (``"no"``), as the
            first of three parts of it (``"parts"``), or so within each head (``"heads"``).
    """

    layers: str
    output_projections: tuple[str, ...]
    num_layers_key: str = "num_hidden_layers"
    queries: str = "self_attn.q_proj"
    fused: Literal["no", "parts", "heads"] = "no"


_LLAMA_LIKE = Family("model.layers", ("self_attn.o_proj", "mlp.down_proj"))

FAMILIES: dict[str, Family] = {
    "llama": _LLAMA_LIKE,
    "mistral": _LLAMA_LIKE,
    "qwen2": _LLAMA_LIKE,
    "qwen3": _LLAMA_LIKE,
    "smollm3": _LLAMA_LIKE,
    "gpt2": Family("transformer.h", ("attn.c_proj", "mlp.c_proj"), "n_layer", "attn.c_attn", "parts"),
    "gpt_neo": Family(
        "transformer.h", ("attn.attention.out_proj", "mlp.c_proj"), "num_layers", "attn.attention.q_proj"
    ),
    "gpt_neox": Family(
        "gpt_neox.layers",
        ("attention.dense", "mlp.dense_4h_to_h"),
        queries="attention.query_key_value",
        fused="heads",
    ),
}


def family_of(config: PreTrainedConfig) -> Family:
    """Find the family of a model.

    Args:
        config: the model's config.

    Returns:
        Its family.

    Raises:
        GrowlmError: if the architecture is not supported, listing those that are.
    """
    family = FAMILIES.get(config.model_type)
    if family is None:
        raise GrowlmError(
            f"a base of type {config.model_type!r} is not supported: use one of {', '.join(sorted(FAMILIES))} "
            "(Llama, Mistral, Qwen 2 and 3, SmolLM, GPT-2, GPT-Neo, GPT-NeoX)"
        )
    return family


class Architecture:
    """The attach points of one base.

    Args:
        base: a stock causal language model of a supported family, before anything is attached.
    """

    def __init__(self, base: PreTrainedModel) -> None:
        self.family = family_of(base.config)
        self.config = base.config
        self._originals = dict(base.named_modules())  # by stock path, whatever wraps them later
        self.num_layers = len(cast(nn.ModuleList, self.resolve(self.family.layers)))
        self._linear_shapes = {
            name: _linear_shape(module)
            for name, module in self.resolve(self.layer_site(0)).named_modules()
            if isinstance(module, (nn.Linear, Conv1D))
        }
        self.linears = tuple(self._linear_shapes)
        paths = {module: path for path, module in self._originals.items()}
        self._embeddings = paths[base.get_input_embeddings()], paths[base.get_output_embeddings()]

    def layer_site(self, layer: int) -> str:
        """Return the stock path of a decoder layer."""
        return f"{self.family.layers}.{layer}"

    def linear_sites(self, target_modules: Sequence[str] | None, layers: Sequence[int]) -> list[str]:
        """List the stock paths of the linears that match.

        Args:
            target_modules: names as in PEFT (the last part of a path, such as ``"q_proj"``); None: all of them.
            layers: indices of the decoder layers.

        Returns:
            The paths, by layer.

        Raises:
            GrowlmError: if a name matches none.
        """
        known = {name.rpartition(".")[2] for name in self.linears}
        for name in target_modules or ():
            if name not in known:
                raise GrowlmError(f"target module {name!r} is not in this base: use some of {', '.join(sorted(known))}")
        return [
            f"{self.layer_site(layer)}.{name}"
            for layer in layers
            for name in self.linears
            if target_modules is None or name.rpartition(".")[2] in target_modules
        ]

    def linear_shape(self, site: str) -> tuple[int, int]:
        """Return (output dim, input dim) of a linear by its stock path."""
        return self._linear_shapes[site.removeprefix(f"{self.family.layers}.").partition(".")[2]]

    def query_site(self, layer: int) -> str:
        """Return the stock path of the linear that computes a layer's queries."""
        return f"{self.layer_site(layer)}.{self.family.queries}"

    def output_sites(self, layer: int) -> tuple[str, ...]:
        """Return the stock paths of a layer's output projections: attention, then feed-forward part."""
        return tuple(f"{self.layer_site(layer)}.{path}" for path in self.family.output_projections)

    def heads(self) -> tuple[int, int]:
        """Return (number of attention heads, dims of each)."""
        num_heads = int(self.config.num_attention_heads)
        _, width = self.linear_shape(self.output_sites(0)[0])
        return num_heads, width // num_heads

    def weighted_layers(self, layers: Sequence[int] | None = None) -> list[str]:
        """List the stock paths of everything that holds weights itself: linears, embeddings, norms; tied ones once.

        Args:
            layers: indices of the decoder layers to look in; None: everywhere, outside of them too.
        """
        inside = None if layers is None else tuple(f"{self.layer_site(layer)}." for layer in layers)
        seen: set[int] = set()
        paths: list[str] = []
        for path, module in self._originals.items():
            own = {id(parameter) for parameter in module.parameters(recurse=False)} - seen
            if own:
                seen |= own
                paths.append(path)
        return paths if inside is None else [path for path in paths if path.startswith(inside)]

    def embeddings(self) -> tuple[str, str]:
        """Return the stock paths of token and output embedding."""
        return self._embeddings

    def embedding_shape(self, path: str) -> tuple[int, int]:
        """Return (number of tokens, dim) of token or output embedding by its stock path."""
        num_tokens, width = cast(nn.Parameter, self.resolve(path).weight).shape
        return num_tokens, width

    def tied_embeddings(self) -> tuple[str, str] | None:
        """Return the stock paths of token and output embedding if they share their weight."""
        paths = self.embeddings()
        weights = [cast(nn.Parameter, self.resolve(path).weight) for path in paths]
        return paths if weights[0] is weights[1] else None

    def resolve(self, path: str) -> nn.Module:
        """Return the original layer at a stock path, whatever wraps it now."""
        return self._originals[path]

    def copy_of(self, path: str) -> nn.Module:
        """Copy the original layer at a stock path."""
        return copy.deepcopy(self.resolve(path))

    def check_layers(self, layers: Sequence[int]) -> tuple[int, ...]:
        """Check indices of decoder layers.

        Raises:
            GrowlmError: if one does not exist or is given twice.
        """
        wrong = [layer for layer in layers if not 0 <= layer < self.num_layers]
        if wrong or len(set(layers)) != len(layers):
            raise GrowlmError(
                f"layers {list(layers)} do not fit this base: give different numbers from 0 to {self.num_layers - 1}"
            )
        return tuple(layers)

    def copy_layer(self, layer: int, cache_slot: int) -> nn.Module:
        """Build a stock decoder layer with the weights of an existing one.

        Args:
            layer: index of the layer to copy.
            cache_slot: index of the new layer's own slot in the key-value cache.

        Returns:
            The new layer, in evaluation mode.
        """
        config = reordered_config(self.config, [*range(self.num_layers), *[layer] * (cache_slot + 1 - self.num_layers)])
        new_layer = type(self.resolve(self.layer_site(layer)))(config, cache_slot)
        weights = {name: self._tensor(f"{self.layer_site(layer)}.{name}").clone() for name in new_layer.state_dict()}
        new_layer.load_state_dict(weights, assign=True)
        return new_layer.eval()

    def _tensor(self, name: str) -> Tensor:
        """Return a parameter or buffer of the base by stock name."""
        path, _, own = name.rpartition(".")
        return cast(Tensor, getattr(self.resolve(path), own)).detach()


def encoder_decoder_linears(model: PreTrainedModel) -> list[str]:
    """List the stock paths of the linears of a T5's layers, encoder first; cross-attention left out.

    A stack takes no such base, but sites, parts and what methods compute from weights work on it. The published
    continual-learning results on T5 train these: q, k, v, o of self-attention, and the feed-forward linears.

    Args:
        model: a model of type ``t5``.

    Returns:
        The paths.

    Raises:
        GrowlmError: if the model is of another type.
    """
    if model.config.model_type != "t5":
        raise GrowlmError(f"a model of type {model.config.model_type!r} is no encoder-decoder that is known: give a t5")
    return [
        path
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and (".SelfAttention." in path or ".DenseReluDense." in path)
    ]


def reordered_config(config: PreTrainedConfig, order: Sequence[int]) -> PreTrainedConfig:
    """Describe a model whose layers take their per-layer settings from ``order``.

    Args:
        config: the base's config.
        order: for each layer of the new model, the index of the base's layer whose settings it has.

    Returns:
        A copy of the config.
    """
    family = family_of(config)
    reordered = copy.deepcopy(config)
    num_layers = config.num_hidden_layers
    setattr(reordered, family.num_layers_key, len(order))
    for key, value in list(vars(reordered).items()):
        if isinstance(value, list) and len(cast("list[object]", value)) == num_layers:
            setattr(reordered, key, [value[layer] for layer in order])
    if config.model_type == "gpt_neo":  # the list is derived from this one when the config is saved and read back
        reordered.attention_types = [[[kind], 1] for kind in reordered.attention_layers]
    return reordered


def _linear_shape(linear: nn.Module) -> tuple[int, int]:
    weight = cast(nn.Parameter, linear.weight)
    rows, columns = weight.shape
    return (columns, rows) if isinstance(linear, Conv1D) else (rows, columns)
