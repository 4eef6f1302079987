"""The transformers config of a stack."""

from collections.abc import Mapping
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from growlm.base.architecture import reordered_config


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

    def stock_config(self) -> PreTrainedConfig:
        """Rebuild the base's own config."""
        settings = dict(self.base_config)
        return AutoConfig.for_model(settings.pop("model_type"), **settings)

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PreTrainedConfig:
        """Return the config that transformers sizes key-value caches by: the base's, with a slot per inserted layer."""
        if not self.base_config:
            return self
        stock = self.stock_config()
        return reordered_config(stock, [*range(stock.num_hidden_layers), *self.inserted_after])
