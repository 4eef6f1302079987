"""Settings of the phases: what all entries of a benchmark have in common, and what differs."""

from collections.abc import Mapping, Sequence
from typing import Any

from growlm.terminal import counted

_OWN = ("learning_rate",)  # chosen for each entry: in results.json
_MOST_NAMES = 4


def common_settings(phases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the settings that all phases have, with the same value."""
    first, *others = phases
    return {key: value for key, value in first.items() if all(key in other and other[key] == value for other in others)}


def phase_sentences(phases: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say in sentences what the phases of a benchmark were.

    Args:
        phases: by the entry's label, the settings of its phases.

    Returns:
        What all entries have in common, then for each setting that differs its values with the entries that have them.
    """
    shared = common_settings(list(phases.values()))
    common = ", ".join(f"{key} {value}" for key, value in shared.items() if key not in _OWN)
    found = [f"Each phase: {common}."] if common else []
    differing = dict.fromkeys(key for phase in phases.values() for key in phase if key not in shared)
    for key in (key for key in differing if key not in _OWN):
        labels: dict[str, list[str]] = {}
        for label, phase in phases.items():
            labels.setdefault(str(phase[key]) if key in phase else "not set", []).append(label)
        values = "; ".join(f"{value} in {_listed(having)}" for value, having in labels.items())
        found.append(f"Different by entry: {key} {values}.")
    return found


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels) if len(labels) <= _MOST_NAMES else counted(len(labels), "entry", "entries")
