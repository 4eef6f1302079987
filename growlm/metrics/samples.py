"""A model's own stories, and what they look like from far away: whether they end, whether they repeat themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from growlm.data.encode import prompt_frame

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class SampleShape:
    """What some samples look like.

    Args:
        ended: share of them that the model ended by itself.
        distinct_3: mean share of distinct word 3-grams in a sample; one that goes round in circles has few.
    """

    ended: float
    distinct_3: float


def sample_stories(
    model: Any,
    tokenizer: "PreTrainedTokenizerBase",
    count: int,
    seed: int,
    max_new_tokens: int = 300,
    temperature: float = 0.8,
) -> list[str]:
    """Sample documents from the start token on; the global random state is left as it was.

    Args:
        model: any causal language model of transformers, or a stack with a path active.
        tokenizer: its tokenizer.
        count: number of documents.
        seed: seed of the sampling.
        max_new_tokens: longest document in tokens.
        temperature: temperature of the sampling.

    Returns:
        The documents; one that was ended by the model ends with the tokenizer's end token.
    """
    training = model.training
    model.eval()
    end: Any = tokenizer.eos_token_id
    before, after = prompt_frame(tokenizer)
    start = torch.tensor([[*before, *after]] * count, device=model.device)
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []), torch.inference_mode():
        torch.manual_seed(seed)
        tokens = model.generate(
            start,
            attention_mask=torch.ones_like(start),
            do_sample=True,
            temperature=temperature,
            top_k=0,
            max_new_tokens=max_new_tokens,
        )
    model.train(training)
    drawn = [row[start.shape[1] :] for row in tokens.tolist()]
    return [str(tokenizer.decode(row[: row.index(end) + 1] if end in row else row)) for row in drawn]


def sample_shape(samples: Sequence[str], end: str) -> SampleShape:
    """Describe samples.

    Args:
        samples: texts, each with the end token if the model ended it.
        end: the end token.
    """
    ended = sum(sample.endswith(end) for sample in samples) / len(samples)
    return SampleShape(ended, distinct_trigrams([sample.removesuffix(end) for sample in samples]))


def distinct_trigrams(texts: Sequence[str]) -> float:
    """Compute the mean share of distinct word 3-grams over the texts that have any; 0 if none has."""
    grams = [list(zip(words, words[1:], words[2:], strict=False)) for words in map(str.split, texts)]
    shares = [len(set(found)) / len(found) for found in grams if found]
    return sum(shares) / len(shares) if shares else 0.0
