"""The records of a base and of a module, and the checks of a module's record that its types alone do not express."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from growlm.errors import GrowlmError
from growlm.manifest.path import BASE
from growlm.manifest.scores import MODES

IMPORT = "import"
"""Name in place of a method's in the record of a module that was an adapter."""
_MAX_PARAMETERS = 10**13
_MAX_PARTS = 4096
_COUNTS = ("steps", "tokens", "seconds", "rows", "trained")


@dataclass(frozen=True)
class BaseRecord:
    """The base that a stack was grown on.

    Args:
        source: name of a shipped base, folder or Hugging Face id.
        model_type: its architecture as transformers names it.
        parameters: how many parameters it has.
        tensors: digest of every tensor as stored, by stock name.
        digest: one digest over all of them.
    """

    source: str
    model_type: str
    parameters: int
    tensors: dict[str, str]
    digest: str


@dataclass(frozen=True)
class ModuleRecord:
    """A module: how it was trained and what it holds.

    Args:
        name: the module's name.
        kinds: its kinds and their options.
        parents: the path that it was grown on.
        skill: name, options and data digests of the skill; empty for a module that was imported without one.
        method: name and options of the method.
        seed: what all randomness of the phase came from.
        recipe: the settings of the phase, resolved.
        parameters: how many parameters the module has.
        tensors: digest of every tensor, by the module's own names.
        digest: one digest over all of them.
        scores: by skill, the scores measured when the module was finished: of the bare base, of the skill's own path
            (``oracle``) and of all modules together (``all``).
        cost: steps, tokens and seconds of the phase, and how many prompts were cut if any were.
        environment: versions and machine kind.
        supersedes: modules whose values this one went on from and in whose place it answers; they stay as they are.
        method_tensors: digest of every tensor that the method keeps for later phases, by its own names.
    """

    name: str
    kinds: dict[str, dict[str, Any]]
    parents: tuple[str, ...]
    skill: dict[str, Any]
    method: dict[str, Any]
    seed: int
    recipe: dict[str, Any]
    parameters: int
    tensors: dict[str, str]
    digest: str
    scores: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    supersedes: tuple[str, ...] = ()
    method_tensors: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> tuple[str, ...]:
        """The path that ends with this module."""
        return (*self.parents, self.name)


def check_module(module: ModuleRecord, earlier: Sequence[ModuleRecord], where: str) -> None:
    """Check a record against the records before it.

    Args:
        module: the record.
        earlier: the records of the modules before it, in order of growth.
        where: the file it was read from, for the message.

    Raises:
        GrowlmError: for parents or superseded modules that are not among the earlier ones, a count out of range, or
            scores, cost, skill or method of the wrong shape.
    """

    def require(condition: bool, what: str, found: object) -> None:
        if not condition:
            raise GrowlmError(f"{where}: {what}, found {str(found)[:100]!r}: restore it from a copy")

    names = {record.name: record for record in earlier}
    parents = set(module.parents)
    require(module.name != BASE, "a module cannot be named like the base", module.name)
    require(parents <= set(names), "'parents' must be earlier modules", module.parents)
    require(
        tuple(name for name in names if name in parents) == module.parents
        and all(parents >= set(names[name].parents) for name in parents),
        "'parents' must be a whole path in order of growth",
        module.parents,
    )
    require(set(module.supersedes) <= set(names), "'supersedes' must name earlier modules", module.supersedes)
    require(0 <= module.parameters <= _MAX_PARAMETERS, "'parameters' must be a count", module.parameters)
    require(bool(module.kinds), "'kinds' must name a kind", module.kinds)
    for kind, options in module.kinds.items():
        for key, value in options.items():
            require(_is_bounded(key, value, module.parameters), f"option {key!r} of kind {kind!r} is too large", value)
    for what, part in (("skill", module.skill), ("method", module.method)):
        if what == "skill" and not part:
            continue  # a module that was imported without one
        shaped = isinstance(part.get("name"), str) and isinstance(part.get("options", {}), dict)
        require(shaped, f"{what!r} must have a name and options", part)
    for unit in _COUNTS:
        value = module.cost.get(unit, 0)
        require(_is_number(value) and value >= 0, f"cost {unit!r} must be a number", value)
    for skill, entry in module.scores.items():
        shaped = isinstance(entry, dict) and set(entry) <= {"base", *MODES} and all(map(_is_score, entry.values()))
        require(shaped, f"the scores of {skill!r} must be by mode, with metric, value and loss", entry)


def data_problem(module: ModuleRecord, test_digest: str) -> str | None:
    """Return why scores on a skill's present data cannot be compared with those of a record, if that is so.

    Args:
        module: the record.
        test_digest: the digest of the skill's held-out examples now.
    """
    recorded = module.skill.get("test_digest")
    if recorded in (None, test_digest):
        return None
    return f"its held-out examples changed (sha256 {str(recorded)[:12]} when it was grown, now {test_digest[:12]})"


def _is_bounded(key: str, value: Any, parameters: int) -> bool:
    """Return whether a number of parts or a size in a kind's options is one that the module can have."""
    if isinstance(value, list | dict):
        return len(value) <= _MAX_PARTS
    most = _MAX_PARTS if key.startswith("num_") else max(parameters, _MAX_PARTS)
    return not isinstance(value, int) or value <= most


def _is_score(score: Any) -> bool:
    return (
        isinstance(score, dict)
        and isinstance(score.get("metric"), str)
        and _is_number(score.get("value"))
        and _is_number(score.get("loss"))
        and (score.get("routing_accuracy") is None or _is_number(score["routing_accuracy"]))
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
