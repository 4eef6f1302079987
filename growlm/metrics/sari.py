r"""SARI, which says how well a text was simplified.

Xu et al. 2016, "Optimizing Statistical Machine Translation for Text Simplification", TACL 4.

For each n from 1 to 4, over the counts of n-grams in source I, output O and all references R together, those of I and
O multiplied by the number of references:

    add  = F1 of O \ I against R \ I, as sets
    keep = F1 of I ∩ O, of which I ∩ O ∩ R is right, against I ∩ R, as multisets
    del  = precision of I - O, of which (I - O) - R is right, as multisets

SARI is the mean of add, keep and del, each the mean over n. As in the script that the published scores come from, the
precisions of keep and del are means over n-grams, keep's recall is over their counts, and 0 / 0 is 1. The difference
(I - O) - R is the script's too: it counts less than (I - O) ∩ (I - R) where an n-gram that was deleted in part is in a
reference as well, so that the two differ as soon as words repeat.

Proved by tests/golden/test_sari.py.
"""

from collections import Counter
from collections.abc import Sequence

_LONGEST = 4

Grams = Counter[tuple[str, ...]]


def sari(source: Sequence[str], output: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Compute SARI of one text.

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
    """Compute keep, delete and add for n-grams of one length."""
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
    deleted = source - output
    rightly = deleted - wanted
    delete = _share(sum(rightly[gram] / deleted[gram] for gram in rightly), len(deleted))
    return keep, delete, add


def _times(grams: Grams, factor: int) -> Grams:
    return Counter({gram: number * factor for gram, number in grams.items()})


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
