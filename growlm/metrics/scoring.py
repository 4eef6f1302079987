"""Scoring a skill with the path that is active: its metric by greedy decoding, and the loss of its answers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import torch

from growlm.data.batches import collate, length_batches
from growlm.data.encode import Encoded, cut_prompt, encode, encode_prompt
from growlm.data.example import Example, Message, Split
from growlm.errors import GrowlmError
from growlm.metrics.answers.answer_metric import answer_metric
from growlm.metrics.bits_per_byte import text_sums
from growlm.metrics.candidates import Advance, choose_answers
from growlm.metrics.greedy import greedy_tokens
from growlm.skills.metric import ASKS_NOTHING, OF_MESSAGES
from growlm.skills.skill import Skill
from growlm.stack.loss import trained_logits

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_BATCH = 64
_MAX_NEW_TOKENS = 96
LIKELIHOOD = "likelihood"


@dataclass(frozen=True)
class Score:
    """What a skill scored.

    Args:
        metric: the skill's metric.
        value: its value; see ``growlm.skills.skill.Skill``.
        loss: mean cross-entropy of the trained tokens, in nats.
        count: how many answers (or, for a metric that asks for none, examples) were scored.
        scoring: how the model was asked: ``generation``, ``candidates``, ``candidates_per_token``, or ``likelihood``
            for the metrics that ask for no answer.
        cut: how many of the examples were longer than the base can see, so that their prompts were cut.
    """

    metric: str
    value: float
    loss: float
    count: int
    scoring: str = "generation"
    cut: int = 0


@dataclass(frozen=True)
class Question:
    """What is asked, and how good an answer is, from 0 to 1."""

    prompt: Example
    score: Callable[[str], float]
    reference: Message


@dataclass(frozen=True)
class Answer:
    """One answer to a test question.

    Args:
        source: the text that was asked.
        reference: the answer that was wanted, with what a reply is judged by.
        answer: the model's answer.
        score: from 0 to 1, by the skill's metric.
    """

    source: str
    reference: Message
    answer: str
    score: float


def score(
    stack: "ModuleStack", skill: Skill, split: Split = "test", limit: int | None = None, advance: Advance | None = None
) -> Score:
    """Score a skill with the path that is active; the same inputs give the same digits.

    Args:
        stack: the stack.
        skill: the skill.
        split: which of its splits.
        limit: greatest number of examples, from the first on; None: all.
        advance: called with (done, total) batches as the work goes on.

    Returns:
        The score.

    Raises:
        GrowlmError: if there is nothing to score, or an example cannot be encoded.
    """
    return score_with_answers(stack, skill, split, limit, advance)[0]


def score_with_answers(
    stack: "ModuleStack", skill: Skill, split: Split = "test", limit: int | None = None, advance: Advance | None = None
) -> tuple[Score, tuple[Answer, ...]]:
    """Score a skill as ``score`` does, and return the answers behind the score; none for a metric without questions."""
    examples = list(islice(skill.examples(split), limit))
    questions = asked_questions(skill, split, examples)
    encoded = [encode(example, stack.tokenizer, stack.context_length) for example in examples]
    cut = sum(example.cut > 0 for example in encoded)
    if skill.metric == "bits_per_byte":
        text = text_sums(stack, stack.tokenizer, [example.text or "" for example in examples])
        return Score(skill.metric, text.bits_per_byte, text.loss, len(examples), LIKELIHOOD, cut), ()
    sums = token_sums(stack, encoded)
    if skill.metric in ASKS_NOTHING:
        value = sums.loss if skill.metric == "loss" else sums.accuracy
        return Score(skill.metric, value, sums.loss, len(examples), LIKELIHOOD, cut), ()
    answers = scored_answers(
        questions, answer_questions(stack, skill, [question.prompt for question in questions], advance)
    )
    return Score(skill.metric, mean_score(answers), sums.loss, len(questions), skill.scoring, cut), answers


def asked_questions(skill: Skill, split: Split, examples: Sequence[Example]) -> list[Question]:
    """List what is asked of a model in the examples that are scored.

    Args:
        skill: the skill.
        split: where the examples are from, for the message.
        examples: the examples.

    Returns:
        The questions; none for a metric without answers.

    Raises:
        GrowlmError: if there is nothing to score.
    """
    asked = () if skill.metric in ASKS_NOTHING else examples
    questions = [question for example in asked for question in _questions(example, skill.metric)]
    if not examples or (skill.metric not in ASKS_NOTHING and not questions):
        raise GrowlmError(f"there is nothing to score in the {split} split: give it examples with expected answers")
    return questions


def answer_questions(
    stack: "ModuleStack", skill: Skill, prompts: Sequence[Example], advance: Advance | None = None
) -> list[str]:
    """Answer prompts in the way that a skill is scored by, with the path that is active.

    Args:
        stack: the stack.
        skill: the skill.
        prompts: what is asked.
        advance: called with (done, total) batches as the work goes on.

    Returns:
        The answers, in the prompts' order.
    """
    if skill.scoring == "generation":
        return generate_answers(stack, prompts, skill.max_answer_tokens, advance)
    return choose_answers(stack, prompts, skill.scoring == "candidates_per_token", advance)


def scored_answers(questions: Sequence[Question], answers: Sequence[str]) -> tuple[Answer, ...]:
    """Score answers, each by its question."""
    return tuple(
        Answer(_source(question.prompt), question.reference, answer, question.score(answer))
        for question, answer in zip(questions, answers, strict=True)
    )


def mean_score(answers: Sequence[Answer]) -> float:
    """Return the mean score of answers."""
    return sum(answer.score for answer in answers) / len(answers)


def _source(prompt: Example) -> str:
    return prompt.messages[-1].content if prompt.messages else prompt.prompt or ""


@dataclass(frozen=True)
class TokenSums:
    """What the trained tokens of some examples add up to.

    Args:
        nats: their summed cross-entropy.
        right: how many of them were the likeliest.
        count: how many there are.
    """

    nats: float
    right: int
    count: int

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        return self.nats / self.count

    @property
    def accuracy(self) -> float:
        """Share of the tokens that were the likeliest."""
        return self.right / self.count

    def __add__(self, other: "TokenSums") -> "TokenSums":
        return TokenSums(self.nats + other.nats, self.right + other.right, self.count + other.count)


@torch.no_grad()
def token_sums(stack: "ModuleStack", examples: Sequence[Encoded]) -> TokenSums:
    """Compare the trained tokens of examples with what the active path predicts.

    Args:
        stack: the stack.
        examples: encoded examples.

    Returns:
        The sums over all trained tokens, each predicted from the true ones before it.
    """
    sums = TokenSums(0.0, 0, 0)
    for rows in length_batches([len(example.input_ids) for example in examples], _BATCH):
        batch = collate([examples[row] for row in rows], stack.pad_id).to(stack.device)
        logits_NV, targets_N = trained_logits(stack, batch)
        losses_N = torch.nn.functional.cross_entropy(logits_NV, targets_N, reduction="none")
        right = int((logits_NV.argmax(-1) == targets_N).sum())
        sums += TokenSums(losses_N.double().sum().item(), right, len(targets_N))
    return sums


def generate_answers(
    stack: "ModuleStack",
    prompts: Sequence[Example],
    max_new_tokens: int = _MAX_NEW_TOKENS,
    advance: Advance | None = None,
) -> list[str]:
    """Answer prompts by greedy decoding with the path that is active.

    Args:
        stack: the stack.
        prompts: conversations that end with the user's turn, or prompts.
        max_new_tokens: longest answer, in tokens.
        advance: called with (done, total) batches as the work goes on.

    Returns:
        The answers, in the prompts' order, without special tokens.
    """
    tokenizer = stack.tokenizer
    room = stack.context_length - max_new_tokens
    ids = [cut_prompt(encode_prompt(prompt, tokenizer), room, prompt.cut)[-room:] for prompt in prompts]
    answers = [""] * len(ids)
    batches = list(length_batches([len(row) for row in ids], _BATCH))
    for number, rows in enumerate(batches, 1):
        for row, tokens in zip(rows, greedy_tokens(stack, [ids[row] for row in rows], max_new_tokens), strict=True):
            answers[row] = tokenizer.decode(tokens, skip_special_tokens=True).strip()
        if advance:
            advance(number, len(batches))
    return answers


def _questions(example: Example, metric: str) -> Iterator[Question]:
    if metric not in OF_MESSAGES:
        measure, wanted, source = answer_metric(metric), example.completion or "", example.prompt or ""
        asked = replace(example, completion=None)
        yield Question(asked, lambda answer: measure(answer, wanted, source), Message("assistant", wanted))
        return
    for index, message in enumerate(example.messages):
        if message.expected:
            prompt = replace(example, messages=example.messages[:index])
            judge = message.ends_with if metric == "final_answer" else message.accepts
            yield Question(prompt, lambda answer, judge=judge: float(judge(answer)), message)  # type: ignore[misc]
