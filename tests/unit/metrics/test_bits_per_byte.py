import math
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from growlm.base.tokenizer import train_tokenizer
from growlm.errors import GrowlmError
from growlm.metrics.bits_per_byte import TextSums, bits_per_byte, text_sums

TEXTS = ["The cat sat on the mat.", "A dog.", "Hello to twelve cats and one dog, said the café."]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS * 10, vocab_size=340)


@pytest.fixture(scope="module")
def model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, pad_token_id=5, bos_token_id=0, eos_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    return LlamaForCausalLM(config)


class Bigram(nn.Module):
    """A model whose next-token probabilities depend on the token before alone, so that windows cannot matter."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.table = nn.Parameter(torch.randn(vocab_size, vocab_size, generator=generator))
        self.config = SimpleNamespace(max_position_embeddings=8)

    def forward(self, input_ids: torch.Tensor) -> Any:
        assert input_ids.shape[1] <= 8
        return SimpleNamespace(logits=self.table[input_ids])


def test_a_uniform_model_needs_the_logarithm_of_its_vocabulary(tokenizer: PreTrainedTokenizerFast) -> None:
    uniform = Bigram(len(tokenizer))
    nn.init.zeros_(uniform.table)
    num_tokens = sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 1 for text in TEXTS)
    expected = num_tokens * math.log2(len(tokenizer)) / sum(len(text.encode()) for text in TEXTS)
    assert bits_per_byte(uniform, tokenizer, TEXTS) == pytest.approx(expected, rel=1e-6)
    sums = text_sums(uniform, tokenizer, TEXTS, context=5)
    assert (sums.num_tokens, sums.loss) == (num_tokens, pytest.approx(math.log(len(tokenizer)), rel=1e-6))
    assert sums + sums == TextSums(2 * sums.nats, 2 * num_tokens, 2 * sums.num_bytes)


def test_it_equals_a_sum_over_tokens_by_hand(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    bits = 0.0
    for text in TEXTS:
        ids = [0, *tokenizer(text, add_special_tokens=False)["input_ids"], 0]
        with torch.no_grad():
            probabilities = model(torch.tensor([ids])).logits[0].softmax(-1)
        bits -= sum(math.log2(probabilities[i, token]) for i, token in enumerate(ids[1:]))
    expected = bits / sum(len(text.encode()) for text in TEXTS)
    assert bits_per_byte(model, tokenizer, TEXTS) == pytest.approx(expected, rel=1e-5)


def test_documents_longer_than_the_context_are_scored_once_per_token(tokenizer: PreTrainedTokenizerFast) -> None:
    bigram = Bigram(len(tokenizer))
    bits = 0.0
    for text in TEXTS:
        ids = [0, *tokenizer(text, add_special_tokens=False)["input_ids"], 0]
        table = bigram.table.detach().log_softmax(-1) / math.log(2)
        bits -= sum(float(table[a, b]) for a, b in pairwise(ids))
    expected = bits / sum(len(text.encode()) for text in TEXTS)
    assert bits_per_byte(bigram, tokenizer, TEXTS) == pytest.approx(expected, rel=1e-5)
    assert bits_per_byte(bigram, tokenizer, TEXTS, context=5) == pytest.approx(expected, rel=1e-5)


def test_company_in_the_batch_changes_nothing(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    alone = bits_per_byte(model, tokenizer, TEXTS, batch_size=1)
    for texts in (TEXTS, TEXTS[::-1]):
        assert bits_per_byte(model, tokenizer, texts, batch_size=3) == pytest.approx(alone, rel=1e-6)


def test_the_mode_of_the_model_is_kept_and_progress_told(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    shares: list[float] = []
    model.train()
    bits_per_byte(model, tokenizer, TEXTS, batch_size=2, progress=shares.append)
    assert model.training
    assert shares == [pytest.approx(2 / 3), 1.0]


def test_no_text_is_an_error(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(GrowlmError, match="need text"):
        bits_per_byte(model, tokenizer, [])


@pytest.mark.parametrize(("text", "lost"), [("a cat", r"turns 'cat' into '<unk>'"), ("A dog", r"turns 'A dog' into")])
def test_a_tokenizer_that_drops_bytes_is_refused(model: LlamaForCausalLM, text: str, lost: str) -> None:
    words = WordLevel({"<end>": 0, "<unk>": 1, "a": 2, "dog": 3}, unk_token="<unk>")
    backend = Tokenizer(words)
    backend.pre_tokenizer = WhitespaceSplit()
    lossy = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>", unk_token="<unk>")
    assert text_sums(model, lossy, ["a dog"]).num_tokens == 3
    with pytest.raises(GrowlmError, match=f"bits per byte need a tokenizer that keeps every byte: this one {lost}"):
        text_sums(model, lossy, [text])
