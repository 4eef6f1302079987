"""How a base reads a row of tokens: as one sequence, or its prompt with an encoder and its answer with a decoder.

All of growlm sees an example as one row: the prompt, then the answer. A decoder reads it as it is. For an
encoder-decoder the row is the prompt, the end token, the decoder's start token, the answer: what comes before the start
token goes to the encoder, the rest to the decoder. A row without a start token is a text: the encoder reads the end
token alone.

Shapes: B rows, T tokens of a row, E of the encoder's, L of the decoder's, D hidden, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from transformers import DynamicCache, EncoderDecoderCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from growlm.data.batches import IGNORED
from growlm.errors import GrowlmError
from growlm.stack.cache import RoomyLayer


class Rows(Protocol):
    """Runs a base on rows of tokens; arguments are named as those of a causal language model."""

    def logits(self, **arguments: Any) -> Any:
        """Return what a causal language model returns: ``logits`` and what else was asked for."""

    def hidden(self, **arguments: Any) -> Any:
        """Return what it returns without its output embedding: ``last_hidden_state``."""

    def num_read(self, prompt: Sequence[int]) -> int:
        """Return how many of a prompt's tokens the layers see that read prompts."""


def rows_of(base: PreTrainedModel) -> Rows:
    """Return what runs a base on rows of tokens."""
    return EncoderDecoderRows(base) if base.config.is_encoder_decoder else DecoderRows(base)


class DecoderRows:
    """A causal language model, run as it is.

    Args:
        base: the base.
    """

    def __init__(self, base: PreTrainedModel) -> None:
        self._base = base

    def logits(self, **arguments: Any) -> Any:
        """Run the base; see ``Rows.logits``."""
        return self._base(**arguments)

    def hidden(self, **arguments: Any) -> Any:
        """Run it without its output embedding; see ``Rows.hidden``."""
        return self._base.base_model(**arguments)

    def num_read(self, prompt: Sequence[int]) -> int:
        """Return the prompt's length."""
        return len(prompt)


class RowCache(DynamicCache):
    """Keys and values of an encoder-decoder: those of the decoder's own tokens, and of what the encoder has read.

    Args:
        num_layers: number of the decoder's layers.
        num_implied: tokens that the base has read besides those of the rows.

    Attributes:
        num_implied: likewise.
    """

    def __init__(self, num_layers: int, num_implied: int) -> None:
        super().__init__()
        self.layers = [RoomyLayer() for _ in range(2 * num_layers)]
        self._num_layers = num_layers
        self.num_implied = num_implied

    @property
    def num_encoded(self) -> int:
        """E."""
        return int(super().get_seq_length(len(self.layers) - 1))

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return how many tokens of the rows have been read."""
        read = int(super().get_seq_length(layer_idx)) + self.num_encoded
        return max(0, read - self.num_implied)

    def of_both(self) -> EncoderDecoderCache:
        """Return the same keys and values as the base takes them."""
        own, encoded = DynamicCache(), DynamicCache()
        own.layers, encoded.layers = self.layers[: self._num_layers], self.layers[self._num_layers :]
        return EncoderDecoderCache(own, encoded)


class EncoderDecoderRows:
    """A model with an encoder and a decoder, whose cross-attention reads what the encoder has made of the prompt.

    Args:
        base: the base, of the family ``t5``.

    Raises:
        GrowlmError: if its config does not say which tokens part prompt and answer.
    """

    def __init__(self, base: PreTrainedModel) -> None:
        self._base: Any = base
        config: Any = base.config
        if not isinstance(config.eos_token_id, int) or not isinstance(config.decoder_start_token_id, int):
            raise GrowlmError(
                "the base's config.json does not say which token ends a text (eos_token_id) and which one begins an "
                "answer (decoder_start_token_id): add both"
            )
        self._start, self._end = config.decoder_start_token_id, config.eos_token_id
        self._scale = config.d_model**-0.5 if config.scale_decoder_outputs else 1.0

    def logits(
        self, logits_to_keep: int | Tensor = 0, labels: Tensor | None = None, **arguments: Any
    ) -> CausalLMOutputWithPast:
        """Compute the logits of the tokens to come; see ``Rows.logits``.

        A label counts from the answer's first token on.
        """
        output = self.hidden(**arguments)
        hidden_BTD = cast(Tensor, output.last_hidden_state)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits_BTV = self._base.get_output_embeddings()(hidden_BTD[:, kept])
        loss = None
        if labels is not None:
            answers_BT = self._answers(arguments["input_ids"])
            next_BT = labels[:, 1:] if answers_BT is None else labels[:, 1:].masked_fill(~answers_BT[:, :-1], IGNORED)
            loss = nn.functional.cross_entropy(logits_BTV[:, :-1].flatten(0, 1), next_BT.flatten())
        return CausalLMOutputWithPast(loss=loss, logits=logits_BTV, past_key_values=output.past_key_values)

    def hidden(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        use_cache: bool | None = None,
        **others: Any,
    ) -> BaseModelOutputWithPast:
        """Compute what the output embedding gets; see ``Rows.hidden``.

        Args:
            input_ids: tokens, [B, T]: whole rows, or with a cache that is not empty their next tokens.
            attention_mask: 1 for tokens and 0 for padding on the left, [B, S]; None: no padding on the left.
            past_key_values: a cache; an empty one is not filled, the output has another.
            use_cache: whether the output has a cache.
            **others: arguments of a causal language model without effect here, such as ``position_ids``.

        Returns:
            ``last_hidden_state``, [B, T, D]: the encoder's states of a prompt, the decoder's from the start token on.

        Raises:
            GrowlmError: for embeddings in place of tokens, outputs that are not computed here, or rows that cannot be
            read with a cache.
        """
        asked = [
            name for name in ("inputs_embeds", "output_hidden_states", "output_attentions") if _given(others, name)
        ]
        if input_ids is None or asked:
            raise GrowlmError(f"an encoder-decoder is run on tokens alone, for its last states: leave {asked} out")
        if isinstance(past_key_values, RowCache):
            return self._next(input_ids, attention_mask, past_key_values)
        if past_key_values is not None and past_key_values.get_seq_length():
            raise GrowlmError("the tokens after a prompt need the cache that the pass over the prompt returned")
        if use_cache and attention_mask is None and bool((input_ids[:, 0] == self._start).any()):
            raise GrowlmError("rows that are padded on the left are read with a cache by their attention_mask: give it")
        answers_BT = self._answers(input_ids)
        if answers_BT is not None:
            return self._whole(input_ids, answers_BT, use_cache, 0)
        if attention_mask is not None and not bool(attention_mask.all()):
            raise GrowlmError("a text without a prompt cannot be padded on the left: encode it with growlm.data.encode")
        lead_B2 = input_ids.new_tensor([[self._end, self._start]]).expand(len(input_ids), -1)
        rows = torch.cat([lead_B2, input_ids], 1)
        answers = torch.ones_like(rows, dtype=torch.bool)
        answers[:, 0] = False
        output = self._whole(rows, answers, use_cache, lead_B2.shape[1])
        hidden_BTD = cast(Tensor, output.last_hidden_state)[:, lead_B2.shape[1] :]
        return BaseModelOutputWithPast(last_hidden_state=hidden_BTD, past_key_values=output.past_key_values)

    def num_read(self, prompt: Sequence[int]) -> int:
        """Return how many tokens come before the start token."""
        return len(prompt) - 1 if prompt and prompt[-1] == self._start else len(prompt)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _answers(self, input_ids_BT: Tensor) -> Tensor | None:
        """Return which tokens are the start token or come after it, Bool[B, T]; None: no row has one.

        Rows may be padded with the start token, on either side.
        """
        is_start_BT = input_ids_BT == self._start
        begins_BT = is_start_BT.clone()
        begins_BT[:, 0] = False
        begins_BT[:, 1:] &= ~is_start_BT[:, :-1]
        answers_BT = begins_BT.cumsum(1) > 0
        found_B = answers_BT.any(1)
        if not bool(found_B.any()):
            return None
        if not bool(found_B.all()):
            raise GrowlmError(
                "some rows of the batch have the decoder's start token after their prompt and others have not: encode "
                "all of them with growlm.data.encode"
            )
        return answers_BT

    def _whole(
        self, input_ids_BT: Tensor, answers_BT: Tensor, use_cache: bool | None, num_implied: int
    ) -> BaseModelOutputWithPast:
        """Read whole rows."""
        length = input_ids_BT.shape[1]
        splits_B = (~answers_BT).sum(1)
        most, least = int(splits_B.max()), int(splits_B.min())
        padding_BE = (input_ids_BT == self._start).cumprod(1).bool()[:, :most]
        mask_BE = ~(answers_BT[:, :most] | padding_BE)
        encoded_BED = self._base.encoder(input_ids=input_ids_BT[:, :most], attention_mask=mask_BE).last_hidden_state
        places_BT = torch.arange(length, device=input_ids_BT.device) - splits_B[:, None]
        sources_BL = (splits_B[:, None] + torch.arange(length - least, device=input_ids_BT.device)).clamp_max(
            length - 1
        )
        cache = None
        if use_cache:
            if most != least:
                raise GrowlmError(
                    "rows that are read with a cache are padded on the left: their answers begin together"
                )
            cache = RowCache(len(self._base.decoder.block), num_implied)
        decoded_BLD = self._decode(input_ids_BT.gather(1, sources_BL), encoded_BED, mask_BE, cache)
        index_BTD = places_BT.clamp_min(0)[..., None].expand(-1, -1, decoded_BLD.shape[-1])
        prompt_BTD = nn.functional.pad(encoded_BED, (0, 0, 0, length - most))
        hidden_BTD = torch.where(answers_BT[..., None], decoded_BLD.gather(1, index_BTD), prompt_BTD)
        return BaseModelOutputWithPast(last_hidden_state=hidden_BTD, past_key_values=cache)

    def _next(self, input_ids_BL: Tensor, mask_BS: Tensor | None, cache: RowCache) -> BaseModelOutputWithPast:
        """Read the next tokens of answers."""
        width = int(self._base.config.d_model)
        # keys and values of the prompt are in the cache: only the shape of its states is read
        encoded_BED = self._base.shared.weight.new_zeros(len(input_ids_BL), cache.num_encoded, width)
        mask_BE = None if mask_BS is None or cache.num_implied else mask_BS[:, : cache.num_encoded].bool()
        decoded_BLD = self._decode(input_ids_BL, encoded_BED, mask_BE, cache)
        return BaseModelOutputWithPast(last_hidden_state=decoded_BLD, past_key_values=cache)

    def _decode(
        self, input_ids_BL: Tensor, encoded_BED: Tensor, mask_BE: Tensor | None, cache: RowCache | None
    ) -> Tensor:
        output = self._base.decoder(
            input_ids=input_ids_BL,
            encoder_hidden_states=encoded_BED,
            encoder_attention_mask=mask_BE,
            past_key_values=None if cache is None else cache.of_both(),
            use_cache=cache is not None,
        )
        return output.last_hidden_state * self._scale if self._scale != 1 else output.last_hidden_state


def _given(arguments: dict[str, Any], name: str) -> bool:
    value = arguments.get(name)
    return value is not None and value is not False
