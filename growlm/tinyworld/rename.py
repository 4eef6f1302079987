"""Known names and things of a text replaced by new ones, so that whoever reads it has to copy them."""

import re
from collections.abc import Iterable

from growlm.tinyworld.cast import Cast
from growlm.tinyworld.lexicon import BOYS, GIRLS, MANY_NAMES, PETS, THINGS

_RENAMED_THINGS = 1 / 3
"""Share of the things that get a made-up word."""


def _one_of(words: Iterable[str]) -> str:
    return "|".join(sorted(words))


_GIRLS = frozenset((*GIRLS, *MANY_NAMES["girls"]))
_BOYS = frozenset((*BOYS, *MANY_NAMES["boys"], *PETS))
_NAME = re.compile(rf"\b(?:{_one_of(_GIRLS | _BOYS)})\b")
_THING = re.compile(rf"\b(?:(an?) )?({_one_of(THINGS)})\b")


def rename(text: str, cast: Cast) -> str | None:
    """Give every first name of the lexicon in a text a new one, and a third of its things a made-up word.

    Args:
        text: the text.
        cast: draws the new names, of its split; with ``new_names`` below 1 it draws known ones, too.

    Returns:
        The text; None if it has no known name.
    """
    if not _NAME.search(text):
        return None
    new: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        known = match[0]
        if known not in new:
            new[known] = cast.name(GIRLS if known in _GIRLS else BOYS)
        return new[known]

    def thing(match: re.Match[str]) -> str:
        article, known = match.groups()
        if known not in new:
            new[known] = cast.invent() if cast.dice.chance(_RENAMED_THINGS) else known
        if new[known] == known:
            return match[0]
        return new[known] if article is None else f"{'an' if new[known][0] in 'aeiou' else 'a'} {new[known]}"

    return _THING.sub(thing, _NAME.sub(name, text))
