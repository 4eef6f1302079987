"""Scoring a skill in the mode ``routed``: the stack's router chooses the path of every prompt."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from growlm.data.encode import Encoded, encode, prompt_frame
from growlm.data.example import Example, Split
from growlm.manifest.path import Path, format_path
from growlm.metrics.bits_per_byte import TextSums, text_sums
from growlm.metrics.scoring import (
    LIKELIHOOD,
    Answer,
    Score,
    TokenSums,
    answer_questions,
    asked_questions,
    mean_score,
    scored_answers,
    token_sums,
)
from growlm.routing.prompts import TEXT_PROMPT, DrawnPrompts, routed_prompt
from growlm.skills.metric import ASKS_NOTHING
from growlm.skills.skill import Skill

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


@dataclass(frozen=True)
class RoutedScore(Score):
    """What a skill scored with the router choosing.

    Args:
        routing_accuracy: share of the prompts that went by the skill's own path; None for a skill without one.
        paths: share of the prompts by path, the greatest first.
    """

    routing_accuracy: float | None = None
    paths: dict[str, float] = field(default_factory=dict)


def routed_score(
    stack: "ModuleStack",
    skill: Skill,
    own: Path | None,
    split: Split = "test",
    limit: int | None = None,
    known: Mapping[Path, Score] | None = None,
    turns: "Turns | None" = None,
) -> RoutedScore:
    """Score a skill with the path of every prompt chosen by the stack's router.

    Every answer of a conversation is a prompt of its own. A plain text goes by the path that is chosen for its
    beginning of ``TEXT_PROMPT`` tokens.

    Args:
        stack: the stack, with a router.
        skill: the skill.
        own: the path that is right for it, if there is one.
        split: which of its splits.
        limit: greatest number of examples, from the first on; None: all.
        known: what the same examples scored by some paths; taken over where every prompt went by one of them.
        turns: what ``find_turns`` gives for the same arguments, if it is known already.

    Returns:
        The score; where every prompt went by the own path, it is that of the own path to the last bit.

    Raises:
        GrowlmError: if the stack has no router, there is nothing to score, or an example cannot be encoded.
    """
    return routed_score_with_answers(stack, skill, own, split, limit, known, turns)[0]


def routed_score_with_answers(
    stack: "ModuleStack",
    skill: Skill,
    own: Path | None,
    split: Split = "test",
    limit: int | None = None,
    known: Mapping[Path, Score] | None = None,
    turns: "Turns | None" = None,
) -> tuple[RoutedScore, tuple[Answer, ...]]:
    """Score a skill as ``routed_score`` does, and return the answers behind the score.

    There are none where the score was taken over from ``known``, nor for a metric without questions.
    """
    examples = list(islice(skill.examples(split), limit))
    questions = asked_questions(skill, split, examples)
    turns = turns or find_turns(stack, skill, split, limit)
    paths = stack.choose_paths(turns.prompts)
    chosen = Counter(format_path(path) for path in paths)
    accuracy = None if own is None else sum(path == own for path in paths) / len(paths)
    shares = {path: number / len(paths) for path, number in chosen.most_common()}
    if len(chosen) == 1 and paths[0] in (known or {}):
        return RoutedScore(**asdict((known or {})[paths[0]]), routing_accuracy=accuracy, paths=shares), ()
    cut = len({turn.example for turn in turns.found if turn.encoded.cut})
    scoring, count = LIKELIHOOD, len(examples)
    if skill.metric == "bits_per_byte":
        text = _text_sums(stack, examples, paths)
        return RoutedScore(skill.metric, text.bits_per_byte, text.loss, count, scoring, cut, accuracy, shares), ()
    sums = _token_sums(stack, turns.found, paths)
    answers: tuple[Answer, ...] = ()
    if skill.metric in ASKS_NOTHING:
        value = sums.loss if skill.metric == "loss" else sums.accuracy
    else:
        chosen_before = dict(zip(map(tuple, turns.prompts), paths, strict=True))
        given = _answers(stack, skill, [question.prompt for question in questions], chosen_before)
        answers = scored_answers(questions, given)
        value, count, scoring = mean_score(answers), len(questions), skill.scoring
    return RoutedScore(skill.metric, value, sums.loss, count, scoring, cut, accuracy, shares), answers


@dataclass(frozen=True)
class Turn:
    """One answer of an example: which of its tokens it is.

    Args:
        example: the example's number.
        encoded: the example.
        begin: index of the answer's first token.
        end: index after its last one.
    """

    example: int
    encoded: Encoded
    begin: int
    end: int


@dataclass(frozen=True)
class Turns:
    """The answers of a skill's examples, and what precedes each as a router sees it.

    Args:
        found: the answers.
        prompts: as many prompts, with what routers have computed of them.
    """

    found: tuple[Turn, ...]
    prompts: DrawnPrompts


def find_turns(stack: "ModuleStack", skill: Skill, split: Split = "test", limit: int | None = None) -> Turns:
    """Find the answers that a skill is scored by: a function of the base alone, whatever has been grown on it.

    Args:
        stack: the stack.
        skill: the skill.
        split: which of its splits.
        limit: greatest number of examples, from the first on; None: all.

    Returns:
        The answers and their prompts.

    Raises:
        GrowlmError: if an example cannot be encoded.
    """
    found: list[Turn] = []
    prompts = DrawnPrompts()
    for number, example in enumerate(islice(skill.examples(split), limit)):
        encoded = encode(example, stack.tokenizer, stack.context_length)
        for begin, end in _trained_stretches(encoded):
            found.append(Turn(number, encoded, begin, end))
            prompts.append(_prompt(stack, example, encoded, begin))
    return Turns(tuple(found), prompts)


def _prompt(stack: "ModuleStack", example: Example, encoded: Encoded, begin: int) -> Sequence[int]:
    if example.text is not None:
        _, after = prompt_frame(stack.tokenizer)
        return (*encoded.input_ids[len(after) :][:TEXT_PROMPT], *after)
    if example.max_prompt is None:
        return encoded.input_ids[:begin]
    return routed_prompt(example, stack.tokenizer)


def _trained_stretches(encoded: Encoded) -> list[tuple[int, int]]:
    edges = [
        index
        for index, (before, now) in enumerate(zip((False, *encoded.trained), (*encoded.trained, False), strict=True))
        if before != now
    ]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _token_sums(stack: "ModuleStack", turns: Sequence[Turn], paths: Sequence[Path]) -> TokenSums:
    """Compare the trained tokens with what is predicted, each turn's by its own path."""
    sums = TokenSums(0.0, 0, 0)
    for path in dict.fromkeys(paths):
        masks: dict[int, list[bool]] = {}
        for turn, chosen in zip(turns, paths, strict=True):
            if chosen == path:
                mask = masks.setdefault(turn.example, [False] * len(turn.encoded.input_ids))
                mask[turn.begin : turn.end] = [True] * (turn.end - turn.begin)
        encoded = {turn.example: turn.encoded for turn in turns}
        with stack.active(*path):
            sums += token_sums(
                stack, [replace(encoded[example], trained=tuple(mask)) for example, mask in masks.items()]
            )
    return sums


def _text_sums(stack: "ModuleStack", examples: Sequence[Example], paths: Sequence[Path]) -> TextSums:
    sums = TextSums(0.0, 0, 0)
    for path in dict.fromkeys(paths):
        texts = [example.text or "" for example, chosen in zip(examples, paths, strict=True) if chosen == path]
        with stack.active(*path):
            sums += text_sums(stack, stack.tokenizer, texts)
    return sums


def _answers(
    stack: "ModuleStack", skill: Skill, prompts: Sequence[Example], chosen: Mapping[tuple[int, ...], Path]
) -> list[str]:
    asked = [tuple(routed_prompt(prompt, stack.tokenizer)) for prompt in prompts]
    others = [prompt for prompt in dict.fromkeys(asked) if prompt not in chosen]
    chosen = {**chosen, **dict(zip(others, stack.choose_paths(others), strict=True))}
    paths = [chosen[prompt] for prompt in asked]
    answers = [""] * len(prompts)
    for path in dict.fromkeys(paths):
        rows = [row for row, chosen in enumerate(paths) if chosen == path]
        with stack.active(*path):
            found = answer_questions(stack, skill, [prompts[row] for row in rows])
        for row, answer in zip(rows, found, strict=True):
            answers[row] = answer
    return answers
