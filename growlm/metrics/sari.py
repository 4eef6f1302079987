r"""SARI, which says how well a text was simplified.

Xu et al. 2016, "Optimizing Statistical Machine Translation for Text Simplification", TACL 4.

For each n from 1 to 4, over the n-grams of source I, output O and references R, with counts as fractions of the number
of references:

    add  = F1 of O \ I against R \ I, as sets
    keep = F1 of O ∩ I against R ∩ I
    del  = precision of I \ O against I \ R

SARI is the mean of add, keep and del, each the mean over n. As in the script that the published figures come from, the
precisions of keep and del are means over n-grams, keep's recall is over their counts, and what has nothing to be right
or wrong about counts as 1.

Proved by tests/golden/test_sari.py.
"""

from collections import Counter
from collections.abc import Sequence

_LONGEST = 4

Grams = Counter[tuple[str, ...]]


def sari(source: Sequence[str], output: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Computes SARI of one text.

    Args:
        source: words of the text that was to be simplified.
        output: words of what came out.
        references: words of each right simplification, at least one.

    Returns:
        From 0 to 1.
    """
    parts = [
        part
        for length in range(1, _LONGEST + 1)
        for part in _parts(*(_grams(words, length) for words in (source, output, *references)))
    ]
    return sum(parts) / len(parts)


def _grams(words: Sequence[str], length: int) -> Grams:
    return Counter(tuple(words[begin : begin + length]) for begin in range(len(words) - length + 1))


def _parts(source: Grams, output: Grams, *references: Grams) -> tuple[float, float, float]:
    """Computes keep, delete and add for n-grams of one length."""
    wanted: Grams = Counter()
    for grams in references:
        wanted.update(grams)
    count = len(references)
    source, output = _times(source, count), _times(output, count)
    added, to_add = set(output) - set(source), set(wanted) - set(source)
    add = _f1(_share(len(added & to_add), len(added)), _share(len(added & to_add), len(to_add)))
    kept, to_keep = source & output, source & wanted
    right = kept & to_keep
    keep = _f1(
        _share(sum(right[gram] / kept[gram] for gram in right), len(kept)),
        _share(right.total(), to_keep.total()),
    )
    deleted, to_delete = source - output, source - wanted
    rightly = deleted & to_delete
    delete = _share(sum(rightly[gram] / deleted[gram] for gram in rightly), len(deleted))
    return keep, delete, add


def _times(grams: Grams, factor: int) -> Grams:
    return Counter({gram: number * factor for gram, number in grams.items()})


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
