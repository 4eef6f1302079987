"""What is shown beside a share of right answers: its interval, what it has to beat, and its parts."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from growlm.manifest.card import percent
from growlm.metrics.references import References, interval, learned
from growlm.metrics.scoring import Answer
from growlm.terminal import plural

Rows = list[tuple[str, str]]
"""Pairs of what a value is, and the value."""


def reference_rows(share: float, count: int, known: References) -> Rows:
    """List what a share of right answers is compared with.

    Args:
        share: the share, from 0 to 1.
        count: how many answers it is of; at least 1.
        known: the references.

    Returns:
        The share's interval, the references, and, where the interval reaches down to the best of them, that the skill
        is not learned.
    """
    low, high = interval(share, count)
    values = {
        "drawn": known.drawn,
        "constant": known.constant,
        "stateless": known.stateless,
        "question-blind": known.blind,
    }
    beaten = ", ".join(f"{name} {percent(value)}" for name, value in values.items() if value is not None)
    rows = [("95 % interval", f"{percent(low)} to {percent(high)}"), ("to beat", beaten)]
    return rows if learned(share, count, known) else [*rows, ("not learned", "(the interval reaches what is to beat)")]


def split_rows(answers: Sequence[Answer]) -> Rows:
    """Split a score by the sort of question and by its length.

    Args:
        answers: the answers; none if the metric asks for none.

    Returns:
        A row for each sort, where there are several, and for the shorter and the longer half of the questions.
    """
    by_sort: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        by_sort[answer.reference.sort or "others"].append(answer.score)
    rows = [(sort, _share(by_sort[sort])) for sort in sorted(by_sort)] if len(by_sort) > 1 else []
    lengths = [len(answer.source.split()) for answer in answers]
    if len(set(lengths)) < 2:
        return rows
    middle = median(lengths)
    halves: dict[bool, list[float]] = {False: [], True: []}
    for answer, length in zip(answers, lengths, strict=True):
        halves[length > middle].append(answer.score)
    rows.append((f"up to {middle:g} {plural(middle, 'word')}", _share(halves[False])))
    return [*rows, (f"over {middle:g} {plural(middle, 'word')}", _share(halves[True]))] if halves[True] else rows


def _share(scores: Sequence[float]) -> str:
    return f"{percent(sum(scores) / len(scores))} of {len(scores)}"
