"""The transformers config of a stack.

``growlm.auto`` registers it with ``AutoConfig`` while transformers itself is still being imported, so that this file
imports nothing of transformers but the config's own base class.
"""

import json
from collections.abc import Mapping
from copy import copy
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from transformers.configuration_utils import PreTrainedConfig

import growlm
from growlm.files import read_json
from growlm.manifest.own_files import CONFIG_FILE


class GrowlmConfig(PreTrainedConfig):
    """Description of a stack for transformers: the base's config and where decoder layers were inserted.

    Args:
        base_config: the base's own config, as ``to_dict`` returns it.
        inserted_after: for each inserted decoder layer (or other part with a slot of its own in the key-value cache),
            in order of growth, the index of the base's layer before it.
        tokenizer: where the tokenizer is, if not in the base's own folder.
        **kwargs: what every transformers config takes.
    """

    model_type = "growlm"

    def __init__(
        self,
        base_config: Mapping[str, Any] | None = None,
        inserted_after: list[int] | None = None,
        tokenizer: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.base_config = dict(base_config or {})
        self.inserted_after = list(inserted_after or [])
        if tokenizer is not None:  # else the file is as it always was
            self.tokenizer = tokenizer
        super().__init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Self:
        """Build a config from what ``config.json`` holds, and make the stack's class known to the Auto classes."""
        assert growlm.ModuleStack.config_class is cls  # its file registers it
        return super().from_dict(config_dict, **kwargs)

    @classmethod
    def of(cls, base_config: PreTrainedConfig, tokenizer: str | None = None) -> Self:
        """Describe a stack without modules on a base."""
        return cls(
            base_config=base_config.to_dict(),
            vocab_size=base_config.vocab_size,
            tokenizer=tokenizer,
            tie_word_embeddings=False,  # the base ties its own
        )

    def stock_config(self) -> PreTrainedConfig:
        """Rebuild the base's own config."""
        return _stock_config(self.base_config)

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PreTrainedConfig:
        """Return the config that transformers sizes key-value caches by: the base's, with a slot per inserted layer."""
        if not self.base_config:
            return self
        sized = _sized_config(json.dumps(self.base_config, sort_keys=True), tuple(self.inserted_after))
        return copy(sized)  # whoever asks may change it


def _stock_config(base_config: Mapping[str, Any]) -> PreTrainedConfig:
    from transformers import AutoConfig

    settings = dict(base_config)
    return AutoConfig.for_model(settings.pop("model_type"), **settings)


@lru_cache(maxsize=16)
def _sized_config(base_config: str, inserted_after: tuple[int, ...]) -> PreTrainedConfig:
    """Rebuild a base's config with a slot per inserted layer, once: every pass that begins a cache asks for it."""
    from growlm.base.architecture import reordered_config

    stock = _stock_config(json.loads(base_config))
    return reordered_config(stock, [*range(stock.num_hidden_layers), *inserted_after])


def recorded_tokenizer(folder: Path) -> str | None:
    """Return where the tokenizer of a saved stack is, if not in the base's own folder."""
    file = folder / CONFIG_FILE
    recorded = read_json(file).get("tokenizer") if file.is_file() else None
    return recorded if isinstance(recorded, str) else None
