"""Lists of words that come twice, so that whoever reads them learns to copy what was said before."""

import re

from growlm.tinyworld.cast import Cast

_WORD = re.compile(r"[^\W\d_]+")
_FEWEST, _MOST = 6, 40
_NEW_SHARE = 0.4
"""Share of the words that are new: names and made-up words."""
_NAME_SHARE = 0.6
"""Of the new words."""
_SHUFFLED_SHARE = 0.5
"""Of the lists, how many have another order the second time."""
_BETWEEN_WORDS = (" ", " ", ", ")
_BETWEEN_LISTS = ("\n", " ", ". ", ", ")


def word_list(text: str, cast: Cast) -> str | None:
    """Draw words of a text, new names and made-up words, and list them twice, now and then in another order.

    What comes second can be predicted by copying alone (Olsson et al. 2022, "In-context Learning and Induction Heads",
    arXiv 2209.11895).

    Args:
        text: the text.
        cast: draws the new words, of its split.

    Returns:
        The lists; None if the text has no words.
    """
    known = _WORD.findall(text)
    if not known:
        return None
    dice = cast.dice

    def word() -> str:
        if not dice.chance(_NEW_SHARE):
            return dice.pick(known)
        return cast.person().name if dice.chance(_NAME_SHARE) else cast.invent()

    first = [word() for _ in range(dice.number(_FEWEST, _MOST))]
    second = dice.shuffled(first) if dice.chance(_SHUFFLED_SHARE) else first
    between = dice.pick(_BETWEEN_WORDS)
    return f"{between.join(first)}{dice.pick(_BETWEEN_LISTS)}{between.join(second)}"
