"""Entries of a benchmark: each a method with its options and phase settings of its own."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from growlm.bench.plan.stream import check_phase
from growlm.errors import GrowlmError, unknown_name
from growlm.files import check_name
from growlm.methods.method import Method
from growlm.recipes import read_yaml, recipe_file
from growlm.registry import methods
from growlm.sealed import fits

ALL = "all"
METHODS = "methods"
"""The list that has every method."""
_RATE = "learning_rate"
_KEYS = ("method", "options", "phase", "per_skill", "strengths")
_OLD_KEYS = {"by_skill": "per_skill"}
"""Keys that lists for version 0.1.0 have, and what they are called since."""


@dataclass(frozen=True)
class Entry:
    """One row of a comparison.

    Args:
        label: its name in tables.
        method: the registered method.
        options: its constructor's arguments.
        phase: what of the stream's phase settings it replaces, such as its learning rate.
        per_skill: by skill, options that its phase has instead of those of all, such as a module of another kind; and
            under ``learning_rate`` another rate.
        strengths: an option that says how strongly the method holds on to what it learned, with the numbers that
            ``growlm bench --tune`` tries; empty: the method has none.
    """

    label: str
    method: str
    options: dict[str, Any]
    phase: dict[str, Any]
    per_skill: dict[str, dict[str, Any]] = field(default_factory=dict)
    strengths: dict[str, list[Any]] = field(default_factory=dict)

    def options_for(self, skill: str) -> dict[str, Any]:
        """Return the options of the phase that learns a skill."""
        return self.options | _options(self.per_skill.get(skill, {}))

    def phase_for(self, skill: str) -> dict[str, Any]:
        """Return the phase settings of a skill that differ from those of all."""
        return {key: value for key, value in self.per_skill.get(skill, {}).items() if key == _RATE}

    def without_rates(self) -> "Entry":
        """Return the entry with one learning rate for all skills."""
        return replace(self, per_skill={skill: _options(own) for skill, own in self.per_skill.items()})

    def scale_lr(self, factor: float) -> "Entry":
        """Return the entry with its learning rates scaled: what suits one base may be too fast for a wider one.

        Args:
            factor: factor of its learning rates.

        Returns:
            The entry, itself where the factor is 1.

        Raises:
            GrowlmError: if the factor is not above 0, or the entry names no learning rate.
        """
        if not 0 < factor < math.inf:
            raise GrowlmError(f"--lr_scale {factor}: expected a number above 0")
        if factor == 1:
            return self
        rate = self.phase.get(_RATE)
        if rate is None:
            raise GrowlmError(
                f"entry {self.label!r} names no learning rate to multiply: add it, or leave --lr_scale out"
            )
        per_skill = {
            skill: {key: value * factor if key == _RATE else value for key, value in own.items()}
            for skill, own in self.per_skill.items()
        }
        return replace(self, phase={**self.phase, _RATE: rate * factor}, per_skill=per_skill)


def read_entries(name_or_file: str = METHODS) -> dict[str, Entry]:
    """Read a list of entries.

    Args:
        name_or_file: a recipe of ``recipes/bench``, or a YAML file of your own: by label, ``method`` (left out: the
            label), ``options``, ``phase`` and ``per_skill``.

    Returns:
        The entries by label.

    Raises:
        GrowlmError: for an unknown recipe, key, method, option or setting.
    """
    file = recipe_file("bench", name_or_file)
    entries = {str(label): _entry(str(label), content or {}, file) for label, content in read_yaml(file).items()}
    if not entries:
        raise GrowlmError(f"{file} lists nothing to compare: give it a label with a method")
    return entries


def choose_entries(words: str, entries: Mapping[str, Entry]) -> list[Entry]:
    """Choose entries by their labels.

    Args:
        words: labels joined by commas, or ``all``.
        entries: the entries there are.

    Returns:
        The chosen ones, each once, in the order of the list.

    Raises:
        GrowlmError: for an unknown label, or none at all.
    """
    labels = [word.strip() for word in words.split(",") if word.strip()]
    for label in labels:
        if label not in entries and label != ALL:
            raise unknown_name("method of this benchmark", label, [*entries, ALL])
    chosen = [entry for label, entry in entries.items() if label in labels or ALL in labels]
    if not chosen:
        raise GrowlmError(f"no method is given: name some of {', '.join(entries)}, or say all")
    return chosen


def _entry(label: str, content: Any, file: Path) -> Entry:
    where = f"{file}: entry {check_name(label, f'{file}: entry')!r}"
    if not isinstance(content, dict):
        raise GrowlmError(f"{where} is {content!r}; write {{method: NAME, options: {{...}}, phase: {{...}}}}")
    content = {_OLD_KEYS.get(key, key): value for key, value in content.items()}
    for key in content:
        if key not in _KEYS:
            raise unknown_name(f"key of entry {label!r} in {file}", str(key), _KEYS)
    method = content.get("method", label)
    options, phase, per_skill, strengths = (content.get(key) or {} for key in _KEYS[1:])
    if not isinstance(method, str) or not isinstance(options, dict) or not isinstance(phase, dict):
        raise GrowlmError(f"{where}: 'method' has to be a name, 'options' and 'phase' keys with values")
    if not isinstance(per_skill, dict) or not all(
        isinstance(skill, str) and isinstance(own, dict) for skill, own in per_skill.items()
    ):
        raise GrowlmError(f"{where}: 'per_skill' has to be {{SKILL: {{OPTION: VALUE}}}}")
    entry = Entry(label, method, options, check_phase(phase, where), per_skill, _strengths(strengths, where))
    if _build(method, options, where).at_once and per_skill:
        raise GrowlmError(f"{where}: method {method!r} learns all skills at once; leave 'per_skill' out")
    for option, values in entry.strengths.items():
        for value in values:
            _build(method, {**options, option: value}, where)
    for skill in per_skill:
        own = f"{where}, skill {skill!r}"
        _build(method, entry.options_for(skill), own)
        check_phase(entry.phase_for(skill), own)
    return entry


def _strengths(content: Any, where: str) -> dict[str, list[Any]]:
    shown = "{OPTION: [NUMBER, NUMBER]}"
    if not isinstance(content, dict) or len(content) > 1:
        raise GrowlmError(f"{where}: 'strengths' is {content!r}; write {shown} with one option")
    for option, values in content.items():
        if not fits(values, list[float]) or len(set(values)) < max(len(values), 2):
            raise GrowlmError(f"{where}: 'strengths' has {values!r} for {option!r}; write {shown}")
    return dict(content)


def _options(own: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in own.items() if key != _RATE}


def _build(method: str, options: dict[str, Any], where: str) -> Method:
    try:
        return methods.build(method, options)
    except GrowlmError as error:
        raise GrowlmError(f"{where}: {error}") from None
