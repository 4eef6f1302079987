"""Choosing hyperparameters by one protocol for every entry: what is tried, and what is chosen.

Every entry has the same grid: its learning rate times each of a few factors, and for each of them the values of its one
``strengths`` option where it has one; a method that trains nothing has no rate to try. All are trained in an order of
the skills that no test has, with a seed that no test has, and scored on the validation split. The greatest average
performance after the last phase wins, in the mode that the method's authors intend; of equal ones the first. Only then
is anything tested, with what was chosen.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from growlm.bench.plan.entries import Entry
from growlm.bench.plan.stream import Stream
from growlm.errors import GrowlmError
from growlm.files import read_json, write_json
from growlm.registry import methods
from growlm.terminal import counted
from growlm.train.config import PhaseConfig

CHOICES_FILE = "choices.json"
TUNE = "tune"
"""The folder of the tuning cells inside that of the results, and the name of the tuning order."""
TUNE_SEED = 1_000
"""The seed of all tuning cells; no test may have it."""
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Trial:
    """One point of an entry's grid.

    Args:
        label: the entry's label.
        entry: the entry with the rate and the strength of the point, under a label of its own.
        tried: what of it is tried: ``factor``, ``learning_rate`` and ``options``.
    """

    label: str
    entry: Entry
    tried: dict[str, Any]


def read_factors(words: str) -> tuple[float, ...]:
    """Read factors of learning rates: numbers above 0, in rising order, joined by commas.

    Raises:
        GrowlmError: for anything else.
    """
    try:
        factors = tuple(float(word) for word in words.split(","))
    except ValueError:
        factors = ()
    rising = all(low < high for low, high in pairwise(factors))
    if not factors or not rising or not factors[0] > 0 or not math.isfinite(factors[-1]):
        raise GrowlmError(f"--tune_factors {words!r}: give rising numbers above 0 joined by commas, such as 0.1,0.3,1")
    return factors


def tuning_stream(stream: Stream) -> Stream:
    """Return the stream with the tuning order alone, and nothing that is only tested.

    Raises:
        GrowlmError: if the stream has no tuning order.
    """
    if not stream.tuning_order:
        raise GrowlmError(
            f"stream {stream.name!r} has no order to choose hyperparameters in: add tuning_order, a list of its skills "
            "in an order that is not tested"
        )
    same = next((order for order, names in stream.orders.items() if names == stream.tuning_order), None)
    if same is not None:
        raise GrowlmError(f"without the excluded skills tuning_order is order {same!r}, which is tested")
    return replace(stream, orders={TUNE: stream.tuning_order}, composites={})


def trials(entry: Entry, rate: float, factors: Sequence[float]) -> list[Trial]:
    """List the points of an entry's grid.

    Args:
        entry: the entry.
        rate: its learning rate if it names none.
        factors: factors of its learning rate.

    Returns:
        The points, the slowest first; one rate for a method that trains nothing.
    """
    rated = replace(entry, phase={"learning_rate": rate, **entry.phase})
    options: list[dict[str, Any]] = [{}]
    for option, values in entry.strengths.items():
        options = [{option: value} for value in values]
    found: list[Trial] = []
    trains = methods.build(entry.method, entry.options).trains
    for factor in factors if trains else (1.0,):
        for own in options:
            scaled = rated.scale_lr(factor)
            tried = {"factor": factor, "learning_rate": scaled.phase["learning_rate"], "options": own}
            # Named after what it tries: a wider grid finds the trials of a narrower one, and runs only the others.
            label = "-".join([entry.label, *(str(number).replace(".", "_") for number in (factor, *own.values()))])
            found.append(Trial(entry.label, replace(scaled, label=label, options=scaled.options | own), tried))
    return found


def choose(tried: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Choose a point of an entry's grid.

    Args:
        tried: for each point ``factor``, ``learning_rate``, ``options`` and its average performance ``ap``.

    Returns:
        The best point, with ``at_edge``: whether its rate is the slowest or the fastest one that was tried, so that a
        wider grid might do better.

    Raises:
        GrowlmError: if a point has no score.
    """
    for point in tried:
        if point["ap"] is None or math.isnan(point["ap"]):
            raise GrowlmError(f"a tuning cell with learning rate {point['learning_rate']:g} has no score to choose by")
    best = max(tried, key=lambda point: point["ap"])
    factors = [point["factor"] for point in tried]
    return {**best, "at_edge": len(set(factors)) > 1 and best["factor"] in (min(factors), max(factors))}


def write_choices(path: Path, choices: Mapping[str, Mapping[str, Any]], protocol: Mapping[str, Any]) -> None:
    """Write what was chosen for each entry, with all that was tried.

    Args:
        path: the file.
        choices: by label, ``chosen`` and ``tried``.
        protocol: what was the same for all: order, seed, split, factors and what it cost.
    """
    write_json(path, {"format_version": FORMAT_VERSION, "protocol": protocol, "choices": choices})


def read_choices(path: Path) -> dict[str, dict[str, Any]]:
    """Read what ``write_choices`` wrote.

    Returns:
        By label, the chosen ``learning_rate`` and ``options``.

    Raises:
        GrowlmError: if the file is missing or not of this format.
    """
    content = read_json(path)
    try:
        if content["format_version"] != FORMAT_VERSION:
            raise GrowlmError(
                f"{path} has format version {content['format_version']!r}, this growlm reads {FORMAT_VERSION}"
            )
        return {
            str(label): {
                "factor": float(choice["chosen"]["factor"]),
                "learning_rate": float(choice["chosen"]["learning_rate"]),
                "options": dict(choice["chosen"]["options"]),
            }
            for label, choice in content["choices"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GrowlmError(f"{path} does not hold choices of growlm bench --tune ({error!r}): tune again") from None


def protocol_sentence(path: Path) -> str:
    """Say in a sentence how the choices in a file were made.

    Args:
        path: a ``choices.json``.

    Raises:
        GrowlmError: if the file is not of this format.
    """
    chosen = read_choices(path)
    try:
        protocol = read_json(path)["protocol"]
        order, factors = " → ".join(map(str, protocol["order"])), ", ".join(f"{each:g}" for each in protocol["factors"])
        return (
            f"Rates and strengths of {counted(len(chosen), 'entry', 'entries')} were chosen by "
            f"{counted(protocol['cells'], 'trial')} on the "
            f"{protocol['split']} split, in the order {order}, with seed {protocol['seed']}; factors of the rates "
            f"{factors}. All trials are in {path.name}."
        )
    except (KeyError, TypeError, ValueError) as error:
        raise GrowlmError(f"{path} does not hold choices of growlm bench --tune ({error!r}): tune again") from None


def apply_choices(entries: Sequence[Entry], path: Path, stream: Stream) -> list[Entry]:
    """Return entries with what an earlier benchmark chose for them.

    Args:
        entries: the entries.
        path: a ``choices.json``.
        stream: the stream.

    Raises:
        GrowlmError: if the file is not of this format, or lacks a choice for an entry as it is now.
    """
    found = read_choices(path)
    return [apply_choice(entry, found, default_rate(stream)) for entry in entries]


def default_rate(stream: Stream) -> float:
    """Return the learning rate of entries that name none."""
    return float(stream.phase.get("learning_rate", PhaseConfig.learning_rate))


def apply_choice(entry: Entry, choices: Mapping[str, Mapping[str, Any]], rate: float) -> Entry:
    """Return an entry with what was chosen for it.

    Args:
        entry: the entry.
        choices: what was chosen, by label.
        rate: its learning rate if it names none.

    Raises:
        GrowlmError: if nothing was chosen for it.
    """
    if entry.label not in choices:
        raise GrowlmError(f"no choice for entry {entry.label!r}: tune it, or leave it out of --methods")
    chosen = choices[entry.label]
    rated = replace(entry, phase={"learning_rate": rate, **entry.phase}).scale_lr(chosen["factor"])
    if not math.isclose(rated.phase["learning_rate"], chosen["learning_rate"], rel_tol=1e-6):
        raise GrowlmError(
            f"the choice for entry {entry.label!r} is learning rate {chosen['learning_rate']:g}, but its rate has "
            "changed since: tune again"
        )
    return replace(rated, options=rated.options | chosen["options"])
