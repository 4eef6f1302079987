"""Scoring a skill with the path that is active: its metric by greedy decoding, and the loss of its answers."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import torch

from growlm.data.batches import collate
from growlm.data.encode import Encoded, encode, encode_prompt, stop_ids
from growlm.errors import GrowlmError
from growlm.metrics.bits_per_byte import bits_per_byte
from growlm.skills._skill import Example, Skill, Split
from growlm.stack.loss import trained_token_losses

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_BATCH = 64
_MAX_NEW_TOKENS = 96

Advance = Callable[[int, int], None]


@dataclass(frozen=True)
class Score:
    """What a skill scored.

    Args:
        metric: the skill's metric.
        value: its value; see ``growlm.skills._skill.Skill``.
        loss: mean cross-entropy of the trained tokens, in nats.
        count: how many answers (or, for ``bits_per_byte`` and ``loss``, examples) were scored.
    """

    metric: str
    value: float
    loss: float
    count: int


@dataclass(frozen=True)
class Question:
    """What is asked, and what makes an answer right."""

    prompt: Example
    right: Callable[[str], bool]


def score(
    stack: "ModuleStack", skill: Skill, split: Split = "test", limit: int | None = None, advance: Advance | None = None
) -> Score:
    """Scores a skill with the path that is active; the same inputs give the same digits.

    Args:
        stack: the stack.
        skill: the skill.
        split: which of its splits.
        limit: only the first so many examples; None: all.
        advance: is told (done, total) batches as the work goes on.

    Returns:
        The score.

    Raises:
        GrowlmError: if there is nothing to score, or an example cannot be encoded.
    """
    examples = list(islice(skill.examples(split), limit))
    questions = asked_questions(skill, split, examples)
    loss = answer_loss(stack, examples)
    if skill.metric == "bits_per_byte":
        value = bits_per_byte(stack, stack.tokenizer, [example.text or "" for example in examples])
        return Score(skill.metric, value, loss, len(examples))
    if skill.metric == "loss":
        return Score(skill.metric, loss, loss, len(examples))
    answers = generate_answers(stack, [question.prompt for question in questions], advance=advance)
    right = sum(question.right(answer) for question, answer in zip(questions, answers, strict=True))
    return Score(skill.metric, right / len(questions), loss, len(questions))


def asked_questions(skill: Skill, split: Split, examples: Sequence[Example]) -> list[Question]:
    """Lists what is asked of a model in the examples that are scored.

    Args:
        skill: the skill.
        split: where the examples are from, for the message.
        examples: the examples.

    Returns:
        The questions; none for a metric without answers.

    Raises:
        GrowlmError: if there is nothing to score.
    """
    questions = [question for example in examples for question in _questions(example, skill.metric)]
    if not examples or (skill.metric in ("contains", "exact_match") and not questions):
        raise GrowlmError(f"there is nothing to score in the {split} split: give it examples with expected answers")
    return questions


def answer_loss(stack: "ModuleStack", examples: Sequence[Example]) -> float:
    """Computes the mean cross-entropy of the trained tokens of examples, in nats."""
    total, count = summed_loss(stack, [encode(example, stack.tokenizer, context_length(stack)) for example in examples])
    return total / count


@torch.no_grad()
def summed_loss(stack: "ModuleStack", examples: Sequence[Encoded]) -> tuple[float, int]:
    """Sums the cross-entropy of the trained tokens of examples with the path that is active.

    Args:
        stack: the stack.
        examples: encoded examples.

    Returns:
        The sum in nats, and the number of trained tokens.
    """
    ordered = sorted(examples, key=lambda example: len(example.input_ids))
    total, count = 0.0, 0
    for begin in range(0, len(ordered), _BATCH):
        batch = collate(ordered[begin : begin + _BATCH], pad_id(stack)).to(stack.device)
        losses_N = trained_token_losses(stack, batch)
        total += losses_N.double().sum().item()
        count += losses_N.numel()
    return total, count


@torch.no_grad()
def generate_answers(
    stack: "ModuleStack",
    prompts: Sequence[Example],
    max_new_tokens: int = _MAX_NEW_TOKENS,
    advance: Advance | None = None,
) -> list[str]:
    """Answers prompts by greedy decoding with the path that is active.

    Args:
        stack: the stack.
        prompts: conversations that end with the user's turn, or prompts.
        max_new_tokens: longest answer, in tokens.
        advance: is told (done, total) batches as the work goes on.

    Returns:
        The answers, in the prompts' order, without special tokens.
    """
    tokenizer = stack.tokenizer
    stops = stop_ids(tokenizer)
    room = context_length(stack) - max_new_tokens
    ids = [encode_prompt(prompt, tokenizer)[-room:] for prompt in prompts]
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    answers = [""] * len(ids)
    num_batches = -(-len(order) // _BATCH)
    for number in range(num_batches):
        rows = order[number * _BATCH : (number + 1) * _BATCH]
        length = max(len(ids[row]) for row in rows)
        padded = [[pad_id(stack)] * (length - len(ids[row])) + ids[row] for row in rows]
        mask = [[0] * (length - len(ids[row])) + [1] * len(ids[row]) for row in rows]
        output_BT = stack.generate(
            torch.tensor(padded, device=stack.device),
            attention_mask=torch.tensor(mask, device=stack.device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=stops,
            pad_token_id=pad_id(stack),
        )
        for row, tokens in zip(rows, output_BT[:, length:].tolist(), strict=True):
            answers[row] = tokenizer.decode(tokens, skip_special_tokens=True).strip()
        if advance:
            advance(number + 1, num_batches)
    return answers


def contains(answer: str, expected: Sequence[Sequence[str]]) -> bool:
    """Tells whether an answer holds, for each entry, one of its alternatives as whole words, in any case."""
    return all(any(_holds(answer, phrase) for phrase in alternatives) for alternatives in expected)


def context_length(stack: "ModuleStack") -> int:
    """Gives the greatest number of tokens that a stack's base can see."""
    return int(getattr(stack.base.config, "max_position_embeddings", 1_024))


def pad_id(stack: "ModuleStack") -> int:
    """Gives the token that padding is filled with."""
    tokenizer = stack.tokenizer
    return int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id)


def _questions(example: Example, metric: str) -> Iterator[Question]:
    if metric == "exact_match":
        wanted = (example.completion or "").strip()
        yield Question(replace(example, completion=None), lambda answer: answer == wanted)
        return
    for index, message in enumerate(example.messages):
        if message.expected:
            prompt = replace(example, messages=example.messages[:index])
            yield Question(prompt, lambda answer, expected=message.expected: contains(answer, expected))  # type: ignore[misc]


def _holds(answer: str, phrase: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", answer, re.IGNORECASE) is not None
