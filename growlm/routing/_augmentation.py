"""Changed copies of a prompt: the same is wanted, in another form.

A router that learns from a skill's own prompts alone goes by how they begin, by capitals and by punctuation. The copies
leave these out or put other words around them. Those words are a few of English that go with any question; prompts of
other skills would be better, but a phase has no other skill's data.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import replace

from growlm.data.example import Example

_WIDE = "\u3002\uff1f\uff01"  # what ends sentences in Chinese and Japanese
_ENDS = f".?!{_WIDE}"
_BEGINNING = re.compile(rf"(?<=[.?!])\s+(?=\S)|\s*\n\s*(?=\S)|(?<=[{_WIDE}])\s*(?=\S)")
_AROUND = (
    ("Please ", ""),
    ("Can you tell me: ", ""),
    ("", " Thank you!"),
    ("Hello! ", ""),
    ("", " Please."),
    ("I want to know this. ", ""),
    ("Now ", ""),
)


def changed_copies(example: Example, surround: bool = True) -> Iterator[Example]:
    """Yield changed copies of a prompt: its last sentences alone, all of it in small letters, and among other words.

    Of a conversation the last turn is changed, if it is the user's. A copy that would be the same, or empty, is left
    out. The copies are a function of the example.

    Args:
        example: messages that end with the user's turn, or a prompt.
        surround: put other words before or after it; not of a plain text, of which the beginning is the prompt.

    Yields:
        At most three examples.
    """
    text = _text(example)
    copies = [later_part(text, random.Random(f"later part/{example.name}")), in_small_letters(text)]
    if surround and text:
        copies.append(among_words(text, random.Random(f"among words/{example.name}")))
    for changed in copies:
        if changed not in ("", text):
            yield _with_text(example, changed)


def later_part(text: str, dice: random.Random) -> str:
    """Return a text from a sentence or line on that is not its first; empty if there is only one.

    Args:
        text: the text.
        dice: draws the sentence.
    """
    beginnings = [found.end() for found in _BEGINNING.finditer(text) if found.start()]
    return text[dice.choice(beginnings) :] if beginnings else ""


def in_small_letters(text: str) -> str:
    """Return a text in small letters, without the punctuation that ends it."""
    return text.lower().rstrip().rstrip(_ENDS)


def among_words(text: str, dice: random.Random) -> str:
    """Return a text with a few words before or after it.

    Args:
        text: the text.
        dice: draws the words.
    """
    before, after = dice.choice(_AROUND)
    return f"{before}{text}{after}"


def _text(example: Example) -> str:
    if not example.messages:
        return example.prompt or ""
    return example.messages[-1].content if example.messages[-1].role == "user" else ""


def _with_text(example: Example, text: str) -> Example:
    if not example.messages:
        return replace(example, prompt=text)
    return replace(example, messages=(*example.messages[:-1], replace(example.messages[-1], content=text)))
