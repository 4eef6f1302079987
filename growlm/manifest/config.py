"""The transformers config of a stack.

``growlm.auto`` registers it with ``AutoConfig`` while transformers itself is still being imported, so that this file
imports nothing of transformers but the config's own base class.
"""

from collections.abc import Mapping
from typing import Any, Self

from transformers.configuration_utils import PreTrainedConfig

import growlm


class GrowlmConfig(PreTrainedConfig):
    """Description of a stack for transformers: the base's config and where decoder layers were inserted.

    Args:
        base_config: the base's own config, as ``to_dict`` returns it.
        inserted_after: for each inserted decoder layer (or other part with a slot of its own in the key-value cache),
            in order of growth, the index of the base's layer before it.
        **kwargs: what every transformers config takes.
    """

    model_type = "growlm"

    def __init__(
        self,
        base_config: Mapping[str, Any] | None = None,
        inserted_after: list[int] | None = None,
        **kwargs: Any,
    ) -> None:
        self.base_config = dict(base_config or {})
        self.inserted_after = list(inserted_after or [])
        super().__init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Self:
        """Build a config from what ``config.json`` holds, and make the stack's class known to the Auto classes."""
        assert growlm.ModuleStack.config_class is cls  # its file registers it
        return super().from_dict(config_dict, **kwargs)

    def stock_config(self) -> PreTrainedConfig:
        """Rebuild the base's own config."""
        from transformers import AutoConfig

        settings = dict(self.base_config)
        return AutoConfig.for_model(settings.pop("model_type"), **settings)

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PreTrainedConfig:
        """Return the config that transformers sizes key-value caches by: the base's, with a slot per inserted layer."""
        if not self.base_config:
            return self
        from growlm.base.architecture import reordered_config

        stock = self.stock_config()
        return reordered_config(stock, [*range(stock.num_hidden_layers), *self.inserted_after])
