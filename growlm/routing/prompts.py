"""The prompts of a skill: what a model sees before it answers, as a router learns to tell skills by."""

import random
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from typing import Any

from torch import Tensor

from growlm.data.encode import encode_prompt, prompt_frame
from growlm.data.example import Example, Message, Split
from growlm.errors import GrowlmError
from growlm.routing._augmentation import changed_copies
from growlm.skills.skill import Skill

TEXT_PROMPT = 32
"""By how many tokens a plain text is begun where one beginning must represent it."""

_LONGEST_BEGINNING = 256


@dataclass(frozen=True)
class TurnFrame:
    """What a chat template puts around the user's turns.

    Args:
        opening: the tokens before the first turn.
        between: the tokens between an answer and the user's next turn; none if what is said could look the same.
    """

    opening: tuple[int, ...]
    between: tuple[int, ...]

    def last_turn(self, ids: Sequence[int]) -> Sequence[int]:
        """Return the last turn of a conversation alone, as if nothing had been said before it.

        Args:
            ids: a prompt as the model gets it.

        Returns:
            The prompt that the last turn would be without those before it; ``ids`` if there are none before it.
        """
        size = len(self.between)
        for begin in range(len(ids) - size, 0, -1) if size else ():
            if tuple(ids[begin : begin + size]) == self.between:
                return [*self.opening, *ids[begin + size :]]
        return ids


def turn_frame(tokenizer: Any) -> TurnFrame:
    """Find out, by trying, what a tokenizer's chat template puts around the user's turns.

    Args:
        tokenizer: the base's tokenizer.

    Returns:
        The frame.
    """

    def rendered(*said: str) -> list[int]:
        roles = ("user", "assistant", "user")
        messages = tuple(Message(role, text) for role, text in zip(roles, said, strict=False))  # type: ignore[arg-type]
        return encode_prompt(Example("a trial", messages=messages), tokenizer)

    try:
        first, other = rendered("cat"), rendered("dog")
    except GrowlmError:  # a template that no conversation can be encoded with
        return TurnFrame((), ())
    opening = _same_beginning(first, other)
    alike = _same_beginning(rendered("cat", "yes", "cat")[::-1], rendered("cat", "no", "cat")[::-1])[::-1]
    between = alike[: len(alike) - (len(first) - len(opening))]
    special = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return TurnFrame(opening, between if special & {*between} else ())


def prompts_before_answers(example: Example) -> Iterator[Example]:
    """Yield what precedes each answer of an example: a conversation up to an assistant's turn, or a prompt.

    A plain text is its own prompt.
    """
    if not example.messages:
        prompt = example.prompt if example.text is None else example.text
        yield replace(example, prompt=prompt, completion=None, text=None)
    for index, message in enumerate(example.messages):
        if message.role == "assistant" and index:
            yield replace(example, messages=example.messages[:index])


def routed_prompt(example: Example, tokenizer: Any) -> list[int]:
    """Encode what precedes an answer as a router sees it: whole, also where the model is given less of it.

    What tells skills apart, such as an instruction, may be in the part that is left out to save time.

    Args:
        example: messages that end with the user's turn, or a prompt.
        tokenizer: the base's tokenizer.

    Returns:
        The tokens.
    """
    return encode_prompt(replace(example, max_prompt=None), tokenizer)


class DrawnPrompts(list[Sequence[int]]):
    """Prompts of a skill, each its token ids, with what was computed of them on a base that never changes."""

    def __init__(self, prompts: Iterable[Sequence[int]] = ()) -> None:
        super().__init__(prompts)
        self._computed: dict[Hashable, Tensor] = {}

    def get_or_compute(self, key: Hashable, compute: Callable[[], Tensor]) -> Tensor:
        """Return what was computed under a key, or computes it.

        Args:
            key: what the result is a function of, the prompts apart.
            compute: computes it.
        """
        if key not in self._computed:
            self._computed[key] = compute()
        return self._computed[key]


def drawn_prompts(skill: Skill, split: Split, tokenizer: Any, limit: int, augment: bool = False) -> DrawnPrompts:
    """Return one prompt of each example of a split: of one the first turn, of the next the second, and so on.

    Of a plain text a beginning is taken, often a short one, its length a function of the example's name.

    Args:
        skill: the skill.
        split: which of its splits.
        tokenizer: the base's tokenizer.
        limit: greatest number of examples, from the first on.
        augment: add changed copies of each prompt.

    Returns:
        The prompts' tokens, as a router sees them.

    Raises:
        GrowlmError: if an example holds a special token.
    """
    drawn = DrawnPrompts()
    for number, example in enumerate(islice(skill.examples(split), limit)):
        prompts = list(prompts_before_answers(example))
        if not prompts:
            continue
        prompt, is_text = prompts[number % len(prompts)], example.text is not None
        drawn.append(_encoded(prompt, is_text, tokenizer))
        for copy in changed_copies(prompt, surround=not is_text) if augment else ():
            with suppress(GrowlmError):  # small letters can turn what was none into a special token
                drawn.append(_encoded(copy, is_text, tokenizer))
    return drawn


def _encoded(prompt: Example, is_text: bool, tokenizer: Any) -> list[int]:
    """Encode a prompt, of a plain text a beginning."""
    ids = routed_prompt(prompt, tokenizer)
    if not is_text:
        return ids
    _, after = prompt_frame(tokenizer)
    longest = max(1, min(len(ids) - len(after), _LONGEST_BEGINNING))
    return [*ids[: max(1, round(longest ** random.Random(prompt.name).random()))], *after]


def _same_beginning(first: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(first, other, strict=False))
    return tuple(token for token, _ in pairs)
