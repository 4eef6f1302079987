"""The prompts of a skill: what a model sees before it answers, as a router learns to tell skills by."""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from growlm.data.encode import encode_prompt
from growlm.skills._skill import Example, Skill, Split

TEXT_PROMPT = 32
"""By how many tokens a plain text is begun where one beginning must stand for it."""

_LONGEST_BEGINNING = 256


def prompts_before_answers(example: Example) -> Iterator[Example]:
    """Yields what stands before each answer of an example: a conversation up to an assistant's turn, or a prompt.

    A plain text is its own prompt.
    """
    if not example.messages:
        yield Example(example.name, prompt=example.prompt if example.text is None else example.text)
    for index, message in enumerate(example.messages):
        if message.role == "assistant" and index:
            yield replace(example, messages=example.messages[:index])


def drawn_prompts(skill: Skill, split: Split, tokenizer: Any, limit: int) -> list[list[int]]:
    """Takes one prompt of each example of a split: of one the first turn, of the next the second, and so on.

    Of a plain text a beginning is taken, often a short one, its length a function of the example's name.

    Args:
        skill: the skill.
        split: which of its splits.
        tokenizer: the base's tokenizer.
        limit: only the first so many examples.

    Returns:
        The prompts' tokens, exactly as the model would get them.

    Raises:
        GrowlmError: if an example holds a special token.
    """
    drawn: list[list[int]] = []
    for number, example in enumerate(islice(skill.examples(split), limit)):
        prompts = list(prompts_before_answers(example))
        if not prompts:
            continue
        ids = encode_prompt(prompts[number % len(prompts)], tokenizer)
        if example.text is not None:
            longest = max(1, min(len(ids), _LONGEST_BEGINNING))
            ids = ids[: max(1, round(longest ** random.Random(example.name).random()))]
        drawn.append(ids)
    return drawn
