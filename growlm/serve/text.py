"""Turn tokens into text piece by piece."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


def text_pieces(tokenizer: Any, tokens: Iterable[int], stops: Sequence[str] = ()) -> Iterator[str]:
    """Decode tokens as they come; a character is yielded once all of its bytes are there.

    Args:
        tokenizer: the tokenizer.
        tokens: token ids.
        stops: texts that end the answer; neither they nor anything after them is yielded.

    Yields:
        Pieces that add up to the decoded text.
    """
    seen: list[int] = []
    sent = 0
    longest = max(map(len, stops), default=0)
    for token in tokens:
        seen.append(token)
        text = tokenizer.decode(seen, skip_special_tokens=True)
        if text.endswith(_UNFINISHED):
            continue
        found = [position for stop in stops if (position := text.find(stop)) >= 0]
        if found:
            yield text[sent : min(found)]
            return
        ready = len(text) - max(0, longest - 1)  # what could be the beginning of a stop text waits
        if ready > sent:
            yield text[sent:ready]
            sent = ready
    rest = tokenizer.decode(seen, skip_special_tokens=True)[sent:]
    if rest:
        yield rest
