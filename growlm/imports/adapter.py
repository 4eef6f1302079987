"""A PEFT LoRA adapter folder, read as changes of weights by the stock path of the layer that they belong to.

Only ``adapter_config.json`` and ``adapter_model.safetensors`` are read; nothing is loaded from a pickle. Numbers as in
PEFT (``peft.LoraConfig``): s = alpha / R, or alpha / sqrt(R) with ``use_rslora``, where alpha is that of the first key
of ``alpha_pattern`` that matches the layer's path.

Shapes: R rank, I input dim, O output dim, V vocabulary, D hidden, N trained tokens.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from growlm.errors import GrowlmError
from growlm.files import file_digest, read_json, read_tensors

CONFIG_FILE = "adapter_config.json"
TENSOR_FILE = "adapter_model.safetensors"

_UNSUPPORTED = {
    "use_dora": "DoRA rescales every column of the weight, which is not a low-rank change",
    "lora_bias": "it trains a bias in the low-rank change",
    "layer_replication": "it repeats layers of the base",
    "target_parameters": "it changes parameters that belong to no linear",
    "alora_invocation_tokens": "it is active behind certain tokens alone",
    "use_qalora": "it pools the inputs in groups",
    "use_bdlora": "its matrices are block-diagonal",
    "kasa_config": "it changes the base's weights when it is created",
    "monteclora_config": "its weights are drawn anew in each pass",
}
_SAME_BASE = (True, False, None, "gaussian", "eva", "orthogonal")
"""Values of ``init_lora_weights`` that leave the base as it is; others take a part of its weights away."""

_KEY = re.compile(
    r"base_model\.model\.(?P<site>.+?)\."
    r"(?P<what>lora_[AB]\.weight|lora_embedding_[AB]|token_adapter\.trainable_tokens_delta|(base_layer\.)?weight)"
)


@dataclass(frozen=True)
class LowRank:
    """A low-rank change scale B A of a weight.

    Args:
        A: [R, I]; for a token embedding [R, V].
        B: [O, R]; for a token embedding [D, R].
        scale: what the product is multiplied by.
    """

    A: Tensor
    B: Tensor
    scale: float

    @property
    def rank(self) -> int:
        """R."""
        return self.A.shape[0]


@dataclass(frozen=True)
class TokenRows:
    """New rows of a token embedding.

    Args:
        tokens: the tokens, N of them.
        rows: their embeddings, [N, D].
    """

    tokens: tuple[int, ...]
    rows: Tensor


@dataclass(frozen=True)
class Adapter:
    """What an adapter folder holds, by stock path of the layer.

    Args:
        base: what the adapter says that its base is, if it says so.
        digest: SHA-256 of the file of tensors.
        low_rank: the low-rank changes.
        whole: weights that were saved whole, [V, D].
        tokens: rows of the token embedding that were trained alone.
    """

    base: str | None
    digest: str
    low_rank: dict[str, LowRank] = field(default_factory=dict)
    whole: dict[str, Tensor] = field(default_factory=dict)
    tokens: dict[str, TokenRows] = field(default_factory=dict)


def read_adapter(folder: Path) -> Adapter:
    """Read a PEFT LoRA adapter.

    Args:
        folder: the adapter's folder, as ``PeftModel.save_pretrained`` writes it.

    Returns:
        The adapter, its tensors in fp32.

    Raises:
        GrowlmError: if the folder is not a LoRA adapter, or of a variant that is not an exact change of weights.
    """
    config = _read_config(folder)
    path = folder / TENSOR_FILE
    if not path.exists():
        pickled = (
            " (its adapter_model.bin is a pickle, which is never read)"
            if (folder / "adapter_model.bin").exists()
            else ""
        )
        raise GrowlmError(f"{path} is missing{pickled}: save the adapter again with PEFT's save_pretrained")
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in read_tensors(path).items():
        key = _KEY.fullmatch(name)
        if key is None:
            raise GrowlmError(f"{path}: tensor {name!r} is not part of a LoRA adapter that can be imported")
        if not torch.isfinite(tensor).all():
            raise GrowlmError(f"{path}: tensor {name!r} has values that are not finite")
        found.setdefault(key["site"], {})[key["what"].removeprefix("base_layer.")] = tensor.float()
    adapter = Adapter(config.get("base_model_name_or_path"), file_digest(path))
    for site, tensors in found.items():
        _add(adapter, site, tensors, config, path)
    if not found:
        raise GrowlmError(f"{path} holds no tensors")
    return adapter


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    if not path.exists():
        raise GrowlmError(f"{folder} is not a PEFT adapter: {CONFIG_FILE} is missing")
    config = read_json(path)
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else None
        raise GrowlmError(f"{path}: peft_type is {kind!r}, and only LORA adapters can be imported")
    for option, reason in _UNSUPPORTED.items():
        if config.get(option):
            raise GrowlmError(f"{path}: an adapter with {option} cannot be imported exactly: {reason}")
    if config.get("bias", "none") != "none":
        raise GrowlmError(f"{path}: bias is {config['bias']!r}, and only adapters with bias 'none' can be imported")
    start = config.get("init_lora_weights", True)
    if start not in _SAME_BASE:
        raise GrowlmError(
            f"{path}: init_lora_weights is {start!r}, which changes the base's own weights: convert the adapter with "
            "PEFT's path_initial_model_for_weight_conversion first"
        )
    numbers = [config.get("lora_alpha", 8), *_mapping(config, "alpha_pattern", path).values()]
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        raise GrowlmError(f"{path}: lora_alpha and alpha_pattern must be numbers, found {numbers}")
    return config


def _add(adapter: Adapter, site: str, tensors: Mapping[str, Tensor], config: Mapping[str, Any], path: Path) -> None:
    """Add what the file holds for one layer."""
    names = set(tensors)
    for first, second in (("lora_A.weight", "lora_B.weight"), ("lora_embedding_A", "lora_embedding_B")):
        if not names & {first, second}:
            continue
        pair = [tensors.get(first), tensors.get(second)]
        names -= {first, second}
        if (
            any(tensor is None or tensor.dim() != 2 for tensor in pair)
            or tensors[first].shape[0] != tensors[second].shape[1]
        ):
            raise GrowlmError(f"{path}: {first} and {second} of {site} do not fit together")
        adapter.low_rank[site] = LowRank(tensors[first], tensors[second], _scale(site, tensors[first].shape[0], config))
    if "token_adapter.trainable_tokens_delta" in names:
        names.discard("token_adapter.trainable_tokens_delta")
        rows = tensors["token_adapter.trainable_tokens_delta"]
        adapter.tokens[site] = TokenRows(_trained_tokens(site, len(rows), config, path), rows)
    if "weight" in names:
        names.discard("weight")
        adapter.whole[site] = tensors["weight"]
    assert not names


def _scale(site: str, rank: int, config: Mapping[str, Any]) -> float:
    alpha = config.get("lora_alpha", 8)
    for pattern, own in (config.get("alpha_pattern") or {}).items():
        try:
            matches = re.match(rf"(.*\.)?({pattern})$", site)
        except re.error as error:
            raise GrowlmError(f"alpha_pattern {pattern!r} is not a regular expression ({error})") from None
        if matches:
            alpha = own
            break
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _trained_tokens(site: str, count: int, config: Mapping[str, Any], path: Path) -> tuple[int, ...]:
    asked = config.get("trainable_token_indices")
    if isinstance(asked, dict):
        asked = next((tokens for name, tokens in asked.items() if f".{site}".endswith(f".{name}")), None)
    if not isinstance(asked, list) or len(asked) != count or not all(type(token) is int for token in asked):
        raise GrowlmError(f"{path}: {site} has {count} trained tokens, and {CONFIG_FILE} does not say which")
    return tuple(asked)


def _mapping(config: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    value = config.get(key) or {}
    if not isinstance(value, dict):
        raise GrowlmError(f"{path}: {key} is {value!r}, expected names and numbers")
    return value
