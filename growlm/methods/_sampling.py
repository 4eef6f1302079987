"""What a model writes itself: texts from its start token on, and answers to prompts of earlier skills."""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from growlm.data.batches import IGNORED, collate, length_batches, padded
from growlm.data.encode import Encoded, stop_ids
from growlm.manifest.path import Path
from growlm.routing.prompts import TEXT_PROMPT
from growlm.stack.loss import trained_token_losses

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_BATCH = 32


@torch.no_grad()
def sample_texts(
    stack: "ModuleStack", path: Path, count: int, seed: str, length: int = TEXT_PROMPT
) -> tuple[Encoded, ...]:
    """Sample texts with a path, each token by its probability (temperature 1).

    Args:
        stack: the stack; its active path is left as it was.
        path: the path that writes; empty: the bare base.
        count: how many texts.
        seed: what the draws come from.
        length: tokens of each text, the start token included.

    Returns:
        The texts, every token but the first trained; none if the base has no token to begin with.
    """
    start = stack.tokenizer.bos_token_id if stack.tokenizer.bos_token_id is not None else stack.tokenizer.eos_token_id
    if not count or start is None:
        return ()
    ids_BT = torch.full((count, 1), start, device=stack.device)
    with stack.active(*path), torch.random.fork_rng():
        torch.manual_seed(random.Random(seed).getrandbits(48))
        cache = None
        for _ in range(length - 1):
            output = stack(ids_BT[:, -1:], past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            ids_BT = torch.cat([ids_BT, output.logits[:, -1].float().softmax(-1).multinomial(1)], 1)
    return tuple(Encoded("", tuple(row), (False, *[True] * (length - 1))) for row in ids_BT.tolist())


@torch.no_grad()
def own_answers(
    stack: "ModuleStack",
    path: Path,
    examples: Sequence[Encoded],
    max_new_tokens: int,
    temperature: float,
    seed: str,
) -> list[Encoded]:
    """Replace the last answer of examples by one that a path samples.

    Args:
        stack: the stack; its active path is left as it was.
        path: the path that answers.
        examples: the examples.
        max_new_tokens: longest answer in tokens, its stop token included.
        temperature: what logits are divided by.
        seed: what the draws come from.

    Returns:
        The examples, in their order, with the new answer as the only trained tokens.
    """
    room = stack.context_length - max_new_tokens
    prompts = [_before_last_answer(example)[-room:] for example in examples]
    answers = sample_answers(stack, path, prompts, max_new_tokens, temperature, seed)
    return [
        Encoded(example.name, (*prompt, *answer), (*[False] * len(prompt), *[True] * len(answer)))
        for example, prompt, answer in zip(examples, prompts, answers, strict=True)
    ]


@torch.no_grad()
def sample_answers(
    stack: "ModuleStack",
    path: Path,
    prompts: Sequence[tuple[int, ...]],
    max_new_tokens: int,
    temperature: float,
    seed: str,
) -> list[tuple[int, ...]]:
    """Sample an answer to each prompt with a path.

    Args:
        stack: the stack; its active path is left as it was.
        path: the path that answers.
        prompts: tokens of the prompts; with the answer they have to fit the context.
        max_new_tokens: longest answer in tokens, its stop token included.
        temperature: what logits are divided by.
        seed: what the draws come from.

    Returns:
        The answers' tokens, in the prompts' order.
    """
    stops, padding = stop_ids(stack.tokenizer), stack.pad_id
    answers: list[tuple[int, ...]] = [()] * len(prompts)
    with stack.active(*path), torch.random.fork_rng():
        torch.manual_seed(random.Random(seed).getrandbits(48))
        for rows in length_batches([len(prompt) for prompt in prompts], _BATCH):
            input_ids_BT, mask_BT = padded([prompts[row] for row in rows], padding, left=True)
            output_BT = stack.generate(
                input_ids_BT.to(stack.device),
                attention_mask=mask_BT.to(stack.device),
                max_new_tokens=max_new_tokens,
                do_sample=True,
                temperature=temperature,
                top_k=0,
                top_p=1.0,
                eos_token_id=stops,
                pad_token_id=padding,
            )
            for row, tokens in zip(rows, output_BT[:, input_ids_BT.shape[1] :].tolist(), strict=True):
                answers[row] = _to_first_stop(tokens, stops)
    return answers


@torch.no_grad()
def mean_log_probabilities(stack: "ModuleStack", path: Path, examples: Sequence[Encoded]) -> list[float]:
    """Compute the mean log-probability of each example's trained tokens with a path.

    Args:
        stack: the stack; its active path is left as it was.
        path: the path.
        examples: the examples.

    Returns:
        The means in nats, in the examples' order.
    """
    means = [0.0] * len(examples)
    with stack.active(*path):
        for rows in length_batches([len(example.input_ids) for example in examples], _BATCH):
            batch = collate([examples[row] for row in rows], stack.pad_id).to(stack.device)
            losses_N = trained_token_losses(stack, batch)
            counts = (batch.labels != IGNORED).sum(1).tolist()
            for row, losses in zip(rows, losses_N.split(counts), strict=True):
                means[row] = -losses.mean().item()
    return means


def _before_last_answer(example: Encoded) -> tuple[int, ...]:
    end = max(place for place, trained in enumerate(example.trained) if trained)
    begin = end
    while begin > 0 and example.trained[begin - 1]:
        begin -= 1
    return example.input_ids[: max(1, begin)]


def _to_first_stop(tokens: Sequence[int], stops: Sequence[int]) -> tuple[int, ...]:
    end = next((place for place, token in enumerate(tokens) if token in stops), len(tokens) - 1)
    return tuple(tokens[: end + 1])
