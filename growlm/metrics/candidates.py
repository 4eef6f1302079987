"""Choosing among given answers by their likelihood: each prompt is read once, and each of its choices after it.

Shapes: P prompts, R choices of all of them, T tokens of a prompt, L tokens of a choice, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from growlm.data.batches import padded
from growlm.data.encode import cut_prompt, encode_answer, encode_prompt
from growlm.data.example import Example
from growlm.errors import GrowlmError
from growlm.stack.cache import roomy_cache

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_MOST_ROWS = 64

Advance = Callable[[int, int], None]


@dataclass(frozen=True)
class _Asked:
    """A prompt and its choices, as tokens."""

    prompt: Sequence[int]
    choices: Sequence[Sequence[int]]


@torch.no_grad()
def choose_answers(
    stack: "ModuleStack", prompts: Sequence[Example], per_token: bool, advance: Advance | None = None
) -> list[str]:
    """Choose the likeliest of each prompt's choices, the token that ends it included, with the path that is active.

    Args:
        stack: the stack.
        prompts: prompts with choices.
        per_token: divide each choice's log-probability by its number of tokens.
        advance: called with (done, total) batches as the work goes on.

    Returns:
        For each prompt, its likeliest choice; the first of several.

    Raises:
        GrowlmError: naming the first prompt without choices, or one that is too long.
    """
    asked = [_asked(stack, prompt) for prompt in prompts]
    batches = list(_batches(asked))
    answers = [""] * len(asked)
    for number, batch in enumerate(batches, 1):
        for row, scores in zip(batch, _log_probabilities(stack, [asked[row] for row in batch]), strict=True):
            choices = asked[row].choices
            ranks = [score / len(ids) if per_token else score for score, ids in zip(scores, choices, strict=True)]
            answers[row] = prompts[row].choices[ranks.index(max(ranks))].strip()
        if advance:
            advance(number, len(batches))
    return answers


def _asked(stack: "ModuleStack", prompt: Example) -> _Asked:
    """Encode a prompt and its choices; the prompt is cut alike for all of them."""
    if not prompt.choices:
        raise GrowlmError(f"{prompt.name}: no choices to score by candidates; give some, or score by generation")
    choices = [encode_answer(choice, stack.tokenizer) for choice in prompt.choices]
    room = stack.context_length - max(map(len, choices))
    ids = cut_prompt(encode_prompt(prompt, stack.tokenizer), room, prompt.cut)
    if len(ids) > room:
        raise GrowlmError(f"{prompt.name}: {len(ids)} tokens and a choice are more than the base can see; shorten it")
    return _Asked(ids, choices)


def _batches(asked: Sequence[_Asked]) -> Iterator[list[int]]:
    """Group prompts of like length, as many as fill a batch with their choices."""
    batch: list[int] = []
    num_rows = 0
    for row in sorted(range(len(asked)), key=lambda row: len(asked[row].prompt)):
        if batch and num_rows + len(asked[row].choices) > _MOST_ROWS:
            yield batch
            batch, num_rows = [], 0
        batch.append(row)
        num_rows += len(asked[row].choices)
    if batch:
        yield batch


def _log_probabilities(stack: "ModuleStack", asked: Sequence[_Asked]) -> list[list[float]]:
    """Compute the log-probability of every choice after its prompt."""
    prompts_PT, mask_PT = _on_device(stack, padded([ask.prompt for ask in asked], stack.pad_id, left=True))
    choices_RL, real_RL = _on_device(stack, padded([ids for ask in asked for ids in ask.choices], stack.pad_id))
    prompt_R = torch.tensor([row for row, ask in enumerate(asked) for _ in ask.choices], device=stack.device)
    cache = roomy_cache(stack.config.get_text_config())
    positions_PT = (mask_PT.cumsum(1) - 1).clamp_min(0)
    with stack.expecting(prompts_PT.shape[1] + choices_RL.shape[1]):
        output = stack(prompts_PT, mask_PT, positions_PT, cache, use_cache=True, logits_to_keep=1)
    cache = output.past_key_values
    logits_RLV = output.logits[prompt_R]
    given_RL = choices_RL[:, :-1]
    if given_RL.shape[1]:
        cache.batch_select_indices(prompt_R)
        mask_RS = torch.cat([mask_PT[prompt_R], torch.ones_like(given_RL)], 1)
        positions_RL = mask_PT.sum(1)[prompt_R, None] + torch.arange(given_RL.shape[1], device=stack.device)
        output = stack(given_RL, mask_RS, positions_RL, cache, use_cache=True)
        logits_RLV = torch.cat([logits_RLV, output.logits], 1)
    scores_RL = torch.log_softmax(logits_RLV.float(), -1).gather(-1, choices_RL[..., None])[..., 0]
    sums_R = (scores_RL.double() * real_RL).sum(1)
    return [sums.tolist() for sums in sums_R.split([len(ask.choices) for ask in asked])]


def _on_device(stack: "ModuleStack", tensors: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return tensors[0].to(stack.device), tensors[1].to(stack.device)
