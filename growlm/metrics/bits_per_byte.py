"""Bits per byte: what a model needs to encode a text, whatever its tokenizer.

For documents d with tokens t_1..t_n: sum over d of -log2 p(t_1 .. t_n, end | start), divided by the UTF-8 bytes of
all d. The quotient means something only where the tokens hold every byte, so a tokenizer that drops or replaces some
(an unknown token, lower case) is refused: it would look better the more it drops.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from growlm.data.batches import length_batches
from growlm.data.encode import prompt_frame
from growlm.errors import GrowlmError
from growlm.metrics.likelihood import Window, window_nats

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class TextSums:
    """What the tokens of some documents add up to.

    Args:
        nats: -ln p of them all, their ends included.
        num_tokens: how many they are, the ends included.
        num_bytes: UTF-8 bytes of the documents.
    """

    nats: float
    num_tokens: int
    num_bytes: int

    @property
    def bits_per_byte(self) -> float:
        """Bits per UTF-8 byte."""
        return self.nats / math.log(2) / self.num_bytes

    @property
    def loss(self) -> float:
        """Mean cross-entropy of a token, in nats."""
        return self.nats / self.num_tokens

    def __add__(self, other: "TextSums") -> "TextSums":
        return TextSums(self.nats + other.nats, self.num_tokens + other.num_tokens, self.num_bytes + other.num_bytes)


def bits_per_byte(
    model: Any,
    tokenizer: "PreTrainedTokenizerBase",
    texts: Sequence[str],
    batch_size: int = 16,
    context: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> float:
    """Measure a causal language model on documents, as ``text_sums`` does.

    Args:
        model: any causal language model whose output has ``logits`` [B, T, V].
        tokenizer: its tokenizer.
        texts: the documents.
        batch_size: windows per forward pass.
        context: longest window in tokens; the model's own limit if left out.
        progress: called with the share that is done.

    Returns:
        Bits per UTF-8 byte.

    Raises:
        GrowlmError: if there is no text, or the tokenizer does not give a document back.
    """
    return text_sums(model, tokenizer, texts, batch_size, context, progress).bits_per_byte


def text_sums(
    model: Any,
    tokenizer: "PreTrainedTokenizerBase",
    texts: Sequence[str],
    batch_size: int = 16,
    context: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> TextSums:
    """Add up how likely a causal language model finds documents.

    Each document follows the start token and must be ended by the end token. One that is longer than the context is
    read in windows that overlap by half, each token scored once. Batches hold windows of like length and are padded
    on the right, where causal attention cannot see the padding.

    Args:
        model: any causal language model whose output has ``logits`` [B, T, V].
        tokenizer: its tokenizer.
        texts: the documents.
        batch_size: windows per forward pass.
        context: longest window in tokens; the model's own limit if left out.
        progress: called with the share that is done.

    Returns:
        The sums.

    Raises:
        GrowlmError: if there is no text, or the tokenizer does not give a document back.
    """
    windows = text_windows(tokenizer, texts, context or int(getattr(model.config, "max_position_embeddings", 1_024)))
    training = model.training
    model.eval()
    nats, num_done = 0.0, 0
    for rows in length_batches([len(window.tokens) for window in windows], batch_size, longest_first=True):
        nats += sum(window_nats(model, [windows[row] for row in rows]))
        num_done += len(rows)
        if progress is not None:
            progress(num_done / len(windows))
    model.train(training)
    num_tokens = sum(len(window.tokens) - window.first for window in windows)
    return TextSums(nats, num_tokens, sum(len(text.encode()) for text in texts))


def text_windows(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], context: int) -> list[Window]:
    """Encode documents as windows in which each token after the start token is scored once, and the end token, too.

    Args:
        tokenizer: the tokenizer.
        texts: the documents.
        context: longest window in tokens.

    Returns:
        The windows, those of a document one after the other.

    Raises:
        GrowlmError: if there is no text, or the tokenizer does not give a document back.
    """
    if not any(texts):
        raise GrowlmError("bits per byte need text: no document holds any")
    frame = prompt_frame(tokenizer)
    return [window for text in texts for window in _windows(_encode(tokenizer, text), context, *frame)]


def _encode(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    end: Any = tokenizer.eos_token_id
    if end is None:
        raise GrowlmError("bits per byte need a tokenizer with an end token (eos_token)")
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    decoded = str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
    if decoded != text:
        at = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(text, decoded, strict=False)))
        raise GrowlmError(
            f"bits per byte need a tokenizer that keeps every byte: this one turns {text[at : at + 20]!r} into "
            f"{decoded[at : at + 20]!r}; score by loss instead, or on texts that it keeps"
        )
    return [*ids, end]


def _windows(document: list[int], limit: int, before: list[int], after: list[int]) -> list[Window]:
    """Cut a document into windows; each begins with what an encoder-decoder's answer comes after."""
    tokens, size = [*before, *document], limit + 1 - len(after)  # limit + 1 tokens have limit of them as input
    windows = [Window([*after, *tokens[:size]], len(before) + len(after))]
    stride = limit // 2
    begin = 0
    while begin + size < len(tokens):
        scored_to = begin + size
        begin += stride
        windows.append(Window([*after, *tokens[begin : begin + size]], len(after) + scored_to - begin))
    return windows
