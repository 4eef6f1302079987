"""The shared tokenizer: byte-level BPE of 8,192 entries with chat tokens and a chat template.

A document is ``<|endoftext|>``, its text, ``<|endoftext|>``: one token both begins and ends it. A conversation begins
like a document; each turn is a role token, the words, ``<|end|>``.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

VOCAB_SIZE = 8_192
CONTEXT = 1_024
END_OF_TEXT = "<|endoftext|>"
USER = "<|user|>"
ASSISTANT = "<|assistant|>"
SYSTEM = "<|system|>"
END = "<|end|>"
PAD = "<|pad|>"
NUM_RESERVED = 32

SPECIAL_TOKENS = (END_OF_TEXT, USER, ASSISTANT, SYSTEM, END, PAD, *(f"<|reserved_{i}|>" for i in range(NUM_RESERVED)))
"""The special tokens in the order of their ids, from 0."""

CHAT_TEMPLATE = (
    "{{- bos_token -}}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{- '<|assistant|>' -}}"
    "{%- generation -%}{{- message['content'] + '<|end|>' -}}{%- endgeneration -%}"
    "{%- elif message['role'] in ['user', 'system'] -%}"
    "{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}"
    "{%- else -%}"
    "{{- raise_exception('unknown role ' + message['role'] + ': known: system, user, assistant') -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


PLAIN_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{- 'Assistant:' -}}"
    "{%- generation -%}{{- ' ' + message['content'] + eos_token -}}{%- endgeneration -%}"
    "{{- '\n' -}}"
    "{%- else -%}"
    "{{- message['role'] | capitalize + ': ' + message['content'] + '\n' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- 'Assistant:' -}}{%- endif -%}"
)
"""For tokenizers without a chat template: the turns of a conversation as lines."""

ENCODER_DECODER_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' and loop.last -%}"
    "{{- 'Assistant:' + eos_token + pad_token -}}"
    "{%- generation -%}{{- message['content'] + eos_token -}}{%- endgeneration -%}"
    "{%- else -%}"
    "{{- message['role'] | capitalize + ': ' + message['content'] + '\n' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- 'Assistant:' + eos_token + pad_token -}}{%- endif -%}"
)
"""For the tokenizers of encoder-decoders: all turns before the last answer are lines that the encoder reads.

The end token closes them; the decoder's answer begins with the padding token, as T5 has it.
"""


def special_id(token: str) -> int:
    """Return the id of a special token of the shared vocabulary."""
    return SPECIAL_TOKENS.index(token)


def train_tokenizer(texts: Iterable[str], vocab_size: int = VOCAB_SIZE) -> "PreTrainedTokenizerFast":
    """Learn a byte-level BPE; digits stay single, a space belongs to the word after it.

    Args:
        texts: the documents to learn from, without special tokens.
        vocab_size: number of entries in all: special tokens, 256 bytes, merges.

    Returns:
        The tokenizer, complete with chat template.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return wrap_tokenizer(tokenizer.to_str())


def wrap_tokenizer(serialized: str) -> "PreTrainedTokenizerFast":
    """Wrap a tokenizer's JSON for transformers, with roles of the special tokens and the chat template."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(serialized),
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )
