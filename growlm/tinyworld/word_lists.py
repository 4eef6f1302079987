"""Lists of words that come twice, so that whoever reads them learns to copy what was said before."""

import re

from growlm.tinyworld.cast import Cast

_WORD = re.compile(r"[^\W\d_]+")
_FEWEST, _MOST = 6, 30
_NEW_SHARE = 0.4
"""Share of the words that are new: names and made-up words."""
_NAME_SHARE = 0.6
"""Of the new words."""
_BETWEEN_WORDS = (" ", " ", ", ")
_BETWEEN_LISTS = ("\n", " ", ". ", ", ")


def word_list(text: str, cast: Cast) -> str | None:
    """Draw words of a text, new names and made-up words, and list them twice in the same order.

    What comes second can be predicted by copying alone (Olsson et al. 2022, "In-context Learning and Induction Heads",
    arXiv 2209.11895).

    Args:
        text: the text.
        cast: draws the new words, of its split.

    Returns:
        The list, twice; None if the text has no words.
    """
    known = _WORD.findall(text)
    if not known:
        return None
    dice = cast.dice

    def word() -> str:
        if not dice.chance(_NEW_SHARE):
            return dice.pick(known)
        return cast.person().name if dice.chance(_NAME_SHARE) else cast.invent()

    between = dice.pick(_BETWEEN_WORDS)
    words = between.join(word() for _ in range(dice.number(_FEWEST, _MOST)))
    return f"{words}{dice.pick(_BETWEEN_LISTS)}{words}"
