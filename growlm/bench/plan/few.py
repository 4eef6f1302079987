"""Phases with few examples: the same benchmark once more, where every skill has as many training examples as are asked.

New data may come in any amount (the desideratum shift). The cells of a number n of examples are in the folder
``few-<n>`` inside that of the results, a folder of results of its own.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from growlm.bench.plan.stream import Stream
from growlm.errors import GrowlmError
from growlm.registry import skills

_FOLDER = "few-"
_OPTION = "num_train"


def read_counts(words: str) -> list[int]:
    """Read numbers of training examples: whole numbers from 1 up, in rising order, joined by commas.

    Raises:
        GrowlmError: for anything else.
    """
    try:
        counts = [int(word) for word in words.split(",")]
    except ValueError:
        counts = []
    if not counts or counts[0] < 1 or counts != sorted(set(counts)):
        raise GrowlmError(f"--few {words!r}: give rising whole numbers from 1 up joined by commas, such as 50,200")
    return counts


def few_stream(stream: Stream, count: int) -> Stream:
    """Return a stream whose skills have a number of training examples, without what is only tested.

    Args:
        stream: the stream.
        count: how many examples.

    Raises:
        GrowlmError: if a skill has no option for it.
    """
    for name, entry in stream.skills.items():
        if _OPTION not in skills.options(entry.skill):
            raise GrowlmError(f"--few needs skills with an option {_OPTION}, which {name!r} ({entry.skill}) has not")
    few = {name: replace(entry, options=entry.options | {_OPTION: count}) for name, entry in stream.skills.items()}
    return replace(stream, skills=few, composites={})


def few_folder(out: Path, count: int) -> Path:
    """Return the folder of the cells with a number of examples inside that of the results."""
    return out / f"{_FOLDER}{count}"


def few_folders(out: Path) -> Iterator[tuple[int, Path]]:
    """Yield the numbers of examples of which there are results, in rising order, with their folders."""
    found = {path.name.removeprefix(_FOLDER): path for path in out.glob(f"{_FOLDER}*")}
    yield from sorted((int(count), path) for count, path in found.items() if count.isdecimal())
