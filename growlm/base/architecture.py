"""Where each supported family keeps its layers, its linears and its output projections."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.pytorch_utils import Conv1D

from growlm.errors import GrowlmError


@dataclass(frozen=True)
class Family:
    """What differs between families of bases.

    Args:
        layers: dotted path of the list of decoder layers in the model.
        output_projections: dotted paths, inside a layer, of what writes to the residual stream: the output projection
            of the attention, then that of the feed-forward part (of a mixture of experts, the whole part).
        queries: dotted path, inside a layer, of the linear that computes the queries; None: not known.
        fused: where the queries are in that linear's output: alone (``"no"``), the first of its parts (``"parts"``),
            or the first of three within each head (``"heads"``).
        neutral: dotted paths, inside a layer, of the layers or parameters with whose weights at zero both branches
            write nothing; empty: the output projections.
        offset_norms: whether the norms multiply by one plus their weight.
        plain_attention: whether the attention is nothing but a masked softmax of scaled products, whose mask
            transformers derives from the positions, so that examples may share a row.
        encoder: dotted path of the list of layers of the encoder that reads the prompt; None: there is none.
    """

    layers: str
    output_projections: tuple[str, str]
    queries: str | None = "self_attn.q_proj"
    fused: Literal["no", "parts", "heads"] = "no"
    neutral: tuple[str, ...] = ()
    offset_norms: bool = False
    plain_attention: bool = False
    encoder: str | None = None


_LLAMA_LIKE = Family("model.layers", ("self_attn.o_proj", "mlp.down_proj"))
_PLAIN = replace(_LLAMA_LIKE, plain_attention=True)
# behind a projection there is a norm, which would turn the first step away from zero into a full one
_POST_NORMS = ("post_attention_layernorm", "post_feedforward_layernorm")
_GEMMA = replace(_LLAMA_LIKE, neutral=_POST_NORMS, offset_norms=True)
_MIXTURE = Family(
    "model.layers",
    ("self_attn.o_proj", "mlp"),
    neutral=("self_attn.o_proj", "mlp.experts.down_proj", "mlp.shared_expert.down_proj", "mlp.down_proj"),
)

FAMILIES: dict[str, Family] = {
    "llama": _PLAIN,
    "mistral": _PLAIN,
    "qwen2": _PLAIN,
    "qwen3": _PLAIN,
    "smollm3": _PLAIN,
    "granite": _LLAMA_LIKE,
    "olmo2": replace(_LLAMA_LIKE, neutral=_POST_NORMS),
    "gemma": replace(_LLAMA_LIKE, offset_norms=True),
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "phi3": replace(_LLAMA_LIKE, queries="self_attn.qkv_proj", fused="parts"),
    "mixtral": _MIXTURE,
    "qwen2_moe": _MIXTURE,
    "qwen3_moe": _MIXTURE,
    "opt": Family("model.decoder.layers", ("self_attn.out_proj", "fc2")),
    "gpt2": Family("transformer.h", ("attn.c_proj", "mlp.c_proj"), "attn.c_attn", "parts"),
    "gpt_neo": Family("transformer.h", ("attn.attention.out_proj", "mlp.c_proj"), "attn.attention.q_proj"),
    "gpt_neox": Family(
        "gpt_neox.layers", ("attention.dense", "mlp.dense_4h_to_h"), "attention.query_key_value", "heads"
    ),
    "t5": Family(
        "decoder.block",
        ("layer.0.SelfAttention.o", "layer.2.DenseReluDense"),
        "layer.0.SelfAttention.q",
        encoder="encoder.block",
    ),
}


def family_of(base: PreTrainedModel) -> Family:
    """Find the family of a model, or infer it from the model's own layers.

    What is inferred is not proved; ``growlm.stack.proof`` does that before a stack is built on it.

    Raises:
        GrowlmError: if its layers cannot be found.
    """
    return FAMILIES.get(base.config.model_type) or _inferred(base)


def has_plain_attention(base: PreTrainedModel) -> bool:
    """Return whether a model is of a family known for ``plain_attention``."""
    family = FAMILIES.get(base.config.model_type)
    return family is not None and family.plain_attention


def check_supported(config: PreTrainedConfig) -> None:
    """Refuse what is neither a causal language model nor of a listed family, before its weights are read.

    Raises:
        GrowlmError: listing the families that are known.
    """
    model_type = config.model_type
    if model_type in FAMILIES:
        return
    text_only = not hasattr(config, "vision_config") and not hasattr(config, "audio_config")
    if model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or not text_only or config.is_encoder_decoder:
        raise GrowlmError(
            f"a base of type {model_type!r} is not supported: use a causal language model of text, such as one of "
            f"type {', '.join(sorted(FAMILIES))}"
        )


_BY_INDEX = ("mlp_only_layers",)
"""Keys of configs whose lists hold indices of layers."""


class Architecture:
    """The attach points of one base.

    Args:
        base: a stock model of a supported family, before anything is attached.

    Attributes:
        num_layers: number of layers, those of an encoder, if there is one, before those of the decoder.
        num_reading: number of layers that read a prompt: the encoder's, or all.
    """

    def __init__(self, base: PreTrainedModel) -> None:
        self.family = family_of(base)
        self.config = base.config
        self._originals = dict(base.named_modules())  # by stock path, whatever wraps them later
        lists = [path for path in (self.family.encoder, self.family.layers) if path is not None]
        sizes = [len(cast(nn.ModuleList, self.resolve(path))) for path in lists]
        self.num_layers, self.num_reading = sum(sizes), sizes[0]
        self._layer_sites = [
            f"{path}.{number}" for path, size in zip(lists, sizes, strict=True) for number in range(size)
        ]
        inside = tuple(f"{path}." for path in lists)
        self._linear_shapes = {
            path: _linear_shape(module)
            for path, module in self._originals.items()
            if path.startswith(inside) and isinstance(module, (nn.Linear, Conv1D))
        }
        paths = {module: path for path, module in self._originals.items()}
        self._embeddings = paths[base.get_input_embeddings()], paths[base.get_output_embeddings()]

    @property
    def has_encoder(self) -> bool:
        """Whether an encoder reads the prompt and the decoder says the answer."""
        return self.family.encoder is not None

    def layer_site(self, layer: int) -> str:
        """Return the stock path of a layer."""
        return self._layer_sites[layer]

    def layer_of(self, path: str) -> int | None:
        """Return the index of the layer that a stock path is or is in; None: it is outside of the layers."""
        inside = (number for number, site in enumerate(self._layer_sites) if f"{path}.".startswith(f"{site}."))
        return next(inside, None)

    def linear_sites(self, target_modules: Sequence[str] | None, layers: Sequence[int]) -> list[str]:
        """List the stock paths of the linears that match.

        Args:
            target_modules: names as in PEFT (the last parts of a path, such as ``"q_proj"`` or ``"self_attn.q_proj"``);
                None: all of them.
            layers: indices of the layers.

        Returns:
            The paths, by layer.

        Raises:
            GrowlmError: if a name matches none.
        """
        for name in target_modules or ():
            if not any(_is_named(path, name) for path in self._linear_shapes):
                known = sorted({path.rpartition(".")[2] for path in self._linear_shapes})
                raise GrowlmError(f"target module {name!r} is not in this base: use some of {', '.join(known)}")
        return [
            path
            for layer in layers
            for path in self._linear_shapes
            if path.startswith(f"{self.layer_site(layer)}.")
            and (target_modules is None or any(_is_named(path, name) for name in target_modules))
        ]

    def feed_forward_sites(self, layer: int) -> list[str]:
        """List the stock paths of a layer's linears outside of its attention; a mixture of experts may have none."""
        attention = self.output_sites(layer)[0].rpartition(".")[0]
        return [path for path in self.linear_sites(None, [layer]) if not path.startswith(f"{attention}.")]

    def linear_shape(self, site: str) -> tuple[int, int]:
        """Return (output dim, input dim) of a linear by its stock path."""
        return self._linear_shapes[site]

    @property
    def width(self) -> int:
        """Dims of the residual stream."""
        return int(self.config.hidden_size)

    def query_site(self, layer: int) -> str:
        """Return the stock path of the linear that computes a layer's queries.

        Raises:
            GrowlmError: if it is not known for this base.
        """
        if self.family.queries is None:
            raise GrowlmError(f"where a base of type {self.config.model_type!r} computes its queries is not known")
        return f"{self.layer_site(layer)}.{self.family.queries}"

    def output_sites(self, layer: int) -> tuple[str, str]:
        """Return the stock paths of what writes to the residual stream: attention, then feed-forward part."""
        attention, feed_forward = self.family.output_projections
        return f"{self.layer_site(layer)}.{attention}", f"{self.layer_site(layer)}.{feed_forward}"

    def heads(self) -> tuple[int, int]:
        """Return (number of attention heads, dims of each)."""
        num_heads = int(self.config.num_attention_heads)
        _, width = self.linear_shape(self.output_sites(0)[0])
        return num_heads, width // num_heads

    def weighted_layers(self, layers: Sequence[int] | None = None) -> list[str]:
        """List the stock paths of linears, embeddings and norms, whose outputs are linear in their weights.

        Tied ones come once. The experts of a mixture and its router are left out.

        Args:
            layers: indices of the decoder layers to look in; None: everywhere, outside of them too.
        """
        inside = None if layers is None else tuple(f"{self.layer_site(layer)}." for layer in layers)
        seen: set[int] = set()
        paths: list[str] = []
        for path, module in self._originals.items():
            own = {id(parameter) for parameter in module.parameters(recurse=False)} - seen
            if own and _is_linear_in_weights(module):
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

    def embedding_scale(self) -> float:
        """Return what the base multiplies a token's row of the embedding by."""
        return float(getattr(self.resolve(self._embeddings[0]), "scalar_embed_scale", 1.0))

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

    def make_neutral(self, layer: nn.Module) -> None:
        """Set the weights of a decoder layer so that its branches write nothing to the residual stream."""
        for path in self.family.neutral or self.family.output_projections:
            for name, parameter in layer.named_parameters():
                if f"{name}.".startswith(f"{path}."):
                    is_norm = parameter.ndim == 1 and path.endswith("norm")
                    nn.init.constant_(parameter, -1.0 if is_norm and self.family.offset_norms else 0.0)

    def finish_logits(self, logits: Tensor) -> Tensor:
        """Compute what the base makes of its output embedding's logits: they are scaled or capped in some families.

        Args:
            logits: [..., V].

        Returns:
            The final logits, [..., V].
        """
        divisor = getattr(self.config, "logits_scaling", None)
        factor = getattr(self.config, "logit_scale", None)
        cap = getattr(self.config, "final_logit_softcapping", None)
        if divisor is not None:
            logits = logits / divisor
        if factor is not None:
            logits = logits * factor
        return logits if cap is None else cap * (logits / cap).tanh()

    def _tensor(self, name: str) -> Tensor:
        """Return a parameter or buffer of the base by stock name."""
        path, _, own = name.rpartition(".")
        return cast(Tensor, getattr(self.resolve(path), own)).detach()


def reordered_config(config: PreTrainedConfig, order: Sequence[int]) -> PreTrainedConfig:
    """Describe a model whose layers take their per-layer settings from ``order``.

    Args:
        config: the base's config.
        order: for each layer of the new model, the index of the base's layer whose settings it has.

    Returns:
        A copy of the config.
    """
    reordered = copy.deepcopy(config)
    num_layers = config.num_hidden_layers
    reordered.num_hidden_layers = len(order)
    for key, value in list(vars(reordered).items()):
        if isinstance(value, list) and len(cast("list[object]", value)) == num_layers and key not in _BY_INDEX:
            setattr(reordered, key, [value[layer] for layer in order])
    for key in _BY_INDEX:  # lists of layers by their indices
        if isinstance(chosen := getattr(config, key, None), list):
            setattr(reordered, key, [new for new, layer in enumerate(order) if layer in chosen])
    if config.model_type == "gpt_neo":  # the list is derived from this one when the config is saved and read back
        reordered.attention_types = [[[kind], 1] for kind in reordered.attention_layers]
    return reordered


def _inferred(base: PreTrainedModel) -> Family:
    """Infer a family: its layers are the one list of that length, its projections the last linears of their width."""
    config = base.config
    lists = [
        (path, module)
        for path, module in base.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == config.num_hidden_layers and path.count(".") <= 2
    ]
    if not lists:
        raise GrowlmError(f"the decoder layers of a base of type {config.model_type!r} cannot be found: use another")
    path, layers = lists[0]
    linears = {name: linear for name, linear in layers[0].named_modules() if isinstance(linear, (nn.Linear, Conv1D))}
    writing = [name for name, linear in linears.items() if _linear_shape(linear)[0] == config.hidden_size]
    attention = [name for name in writing if "att" in name]
    feed_forward = [name for name in writing if "att" not in name]
    if not attention or not feed_forward:
        raise GrowlmError(
            f"the output projections of a base of type {config.model_type!r} cannot be found: use another base"
        )
    queries = next((name for name in linears if name.rpartition(".")[2] in ("q_proj", "query", "q")), None)
    return Family(path, (attention[-1], feed_forward[-1]), queries)


def _is_named(path: str, name: str) -> bool:
    return f".{path}".endswith(f".{name}")


def _is_linear_in_weights(module: nn.Module) -> bool:
    return isinstance(module, (nn.Linear, Conv1D, nn.Embedding, nn.LayerNorm)) or "Norm" in type(module).__name__


def _linear_shape(linear: nn.Module) -> tuple[int, int]:
    if isinstance(linear, nn.Linear):  # the shape of its weight is another one in 4 bits
        return linear.out_features, linear.in_features
    weight = cast(nn.Parameter, linear.weight)
    rows, columns = weight.shape
    return columns, rows
