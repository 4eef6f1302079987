"""What transformers asks of every model, answered by a stack's base."""

from collections.abc import Callable
from typing import Any, cast

from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from growlm.base.architecture import Architecture
from growlm.errors import GrowlmError
from growlm.modules.context import ForwardContext
from growlm.stack.arguments import check_arguments, known_arguments
from growlm.stack.in_context import Given, with_demonstrations
from growlm.stack.rows import Rows
from growlm.stack.sites import Sites


class HiddenModel:
    """The base without its output embedding, run as a pass of the stack: with the active path.

    Args:
        base: the base.
        rows: runs the base.
        context: what the sites of the stack share.
        in_context: puts the examples of the active path before what a pass is given.
    """

    def __init__(
        self, base: PreTrainedModel, rows: Rows, context: ForwardContext, in_context: Callable[[Given], Given]
    ) -> None:
        self._model = cast(PreTrainedModel, base.base_model)
        self._rows = rows
        self._context = context
        self._in_context = in_context
        self._arguments = known_arguments(HiddenModel.__call__, self._model)

    def __call__(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return what the model's own class returns.

        Raises:
            TypeError: for an argument that this class does not have.
        """
        check_arguments(kwargs, self._arguments, "ModuleStack.base_model")
        given = self._in_context(Given(input_ids, attention_mask, position_ids, past_key_values, inputs_embeds))
        with self._context.forward_pass(given.num_rows, given.attention_mask):
            return given.own(self._rows.hidden(**given.hidden_arguments(), use_cache=use_cache, **kwargs))

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the model."""
        return getattr(self._model, name)


class StockMixin:
    """What a stack passes on to its base."""

    base: PreTrainedModel
    tokenizer: Any
    architecture: Architecture
    rows: Rows
    _context: ForwardContext
    _sites: Sites

    @property
    def base_model(self) -> Any:
        """The base without its output embedding, as trainers with an output layer of their own run it."""
        return HiddenModel(self.base, self.rows, self._context, self._in_context)

    def set_attn_implementation(self, attn_implementation: Any, *args: Any, **kwargs: Any) -> None:
        """Set which attention the base runs, as every transformers model does."""
        PreTrainedModel.set_attn_implementation(cast(Any, self), attn_implementation, *args, **kwargs)
        self.base.set_attn_implementation(attn_implementation, *args, **kwargs)
        for layer in self.base.modules():  # inserted ones have a config of their own
            config = getattr(layer, "config", None)
            if isinstance(config, PreTrainedConfig):
                config._attn_implementation = self.base.config._attn_implementation

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        """Refuse: the base is frozen, and modules have the size of its embedding.

        Raises:
            GrowlmError: always.
        """
        raise GrowlmError("the base of a stack is frozen: resize the stock model, save it, and grow a stack on that")

    def get_input_embeddings(self) -> nn.Module:
        """Return the base's token embedding."""
        return self.base.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """Return the base's output embedding."""
        return cast(nn.Module, self.base.get_output_embeddings())

    @property
    def pad_id(self) -> int:
        """The token that rows of a batch are padded with."""
        pad_id = self.tokenizer.pad_token_id
        return int(self.tokenizer.eos_token_id if pad_id is None else pad_id)

    @property
    def context_length(self) -> int:
        """The greatest number of tokens that the base can read at once."""
        return int(getattr(self.base.config, "max_position_embeddings", 1_024))

    def _in_context(self, given: Given) -> Given:
        """Put the examples of the active path, if there are any, before what a pass is given."""
        site = self._sites.site(self.architecture.embeddings()[0])
        return given if site is None else with_demonstrations(given, site, self._context.path, self.context_length)
