"""Several skills as one, for methods that learn all of them at once."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from growlm.data.example import Example, Split
from growlm.errors import GrowlmError, unknown_name
from growlm.registry import skills as registered
from growlm.skills.skill import Skill

_KEYS = ("skill", "options")
_LEAST = 1e-3  # a smaller share would make an epoch endless


class Mixture(Skill):
    """Several skills as one: their examples take turns.

    In training, each skill has its share of every stretch of examples, however many it holds: one that comes to its
    end begins again, until the last one has been through once. In the other splits every example comes once. A
    mixture's score is its loss, which all skills have in common; how well each of them is known is measured by the
    skill itself.

    Args:
        skills: names of skills; or, by names of your own, ``{skill: NAME, options: {...}}`` for each, where ``skill``
            may be left out if the name is that of a skill.
        weights: what the shares are in proportion to, by the names above, none under a thousandth of another; None:
            all shares are equal.
    """

    metric = "loss"

    def __init__(self, skills: list[str] | dict[str, Any], weights: dict[str, float] | None = None) -> None:
        self.skills: dict[str, Skill] = {
            name: registered.build(skill, options) for name, (skill, options) in _entries(skills).items()
        }
        self.weights = _checked_weights(weights, list(self.skills))

    def examples(self, split: Split) -> Iterator[Example]:
        """Yield the examples of all skills in turn.

        Raises:
            GrowlmError: if a skill has none in this split.
        """
        sources = {name: _Source(name, skill, split) for name, skill in self.skills.items()}
        given = dict.fromkeys(sources, 0)
        while True:
            if split == "train":
                waiting = sources if any(source.rounds == 0 for source in sources.values()) else {}
            else:
                waiting = {name: source for name, source in sources.items() if source.rounds == 0}
            if not waiting:
                return
            # whoever would be least ahead of its share with one more; of several, the first
            name = min(waiting, key=lambda name: (given[name] + 1) / self.weights[name])
            given[name] += 1
            yield sources[name].take()

    @classmethod
    def missing_data(cls, options: Mapping[str, Any]) -> str | None:
        """Name the first thing that one of the skills would read and that is not there."""
        for skill, skill_options in _entries(options.get("skills", [])).values():
            missing: str | None = registered.get(skill).missing_data(skill_options)
            if missing is not None:
                return missing
        return None


class _Source:
    """One skill's examples, over and over.

    Attributes:
        rounds: how often the last of them has been taken.
    """

    def __init__(self, name: str, skill: Skill, split: Split) -> None:
        self._skill = skill
        self._split: Split = split
        self.rounds = 0
        self._examples = skill.examples(split)
        first = next(self._examples, None)
        if first is None:
            raise GrowlmError(f"skill {name!r} of the mixture has no {split} examples: leave it out, or give it some")
        self._next = first

    def take(self) -> Example:
        """Return the next example."""
        taken, following = self._next, next(self._examples, None)
        if following is None:
            self.rounds += 1
            self._examples = self._skill.examples(self._split)
            following = next(self._examples)
        self._next = following
        return taken


def _entries(skills: object) -> dict[str, tuple[str, dict[str, Any]]]:
    """Read which skills are meant: by name, the registered skill and its options."""
    if isinstance(skills, list):
        twice = sorted({name for name in skills if skills.count(name) > 1})
        if twice:
            raise GrowlmError(f"the mixture names {', '.join(twice)} twice: name it once, and give it a greater weight")
        skills = {str(name): {} for name in skills}
    if not isinstance(skills, dict) or not skills:
        raise GrowlmError("a mixture needs its option 'skills': give at least one name")
    return {name: _entry(name, entry) for name, entry in skills.items()}


def _entry(name: str, entry: object) -> tuple[str, dict[str, Any]]:
    if not isinstance(entry, dict):
        raise GrowlmError(f"skill {name!r} of the mixture is {entry!r}: write {{skill: NAME, options: {{...}}}}")
    for key in entry:
        if key not in _KEYS:
            raise unknown_name(f"key of skill {name!r} of the mixture", str(key), _KEYS)
    skill, options = entry.get("skill", name), entry.get("options", {})
    if not isinstance(skill, str) or not isinstance(options, dict):
        raise GrowlmError(f"skill {name!r} of the mixture: 'skill' has to be a name and 'options' keys with values")
    return skill, options


def _checked_weights(weights: Mapping[str, float] | None, names: list[str]) -> dict[str, Fraction]:
    """Return every skill's weight as a fraction, so that equal shares never part by rounding."""
    if weights is None:
        return dict.fromkeys(names, Fraction(1))
    for name in weights:
        if name not in names:
            raise unknown_name("skill in weights", name, names)
    for name in names:
        if name not in weights:
            raise GrowlmError(f"skill {name!r} of the mixture has no weight: give every skill one, or none")
        if not 0 < weights[name] < float("inf"):
            raise GrowlmError(f"weight {weights[name]} of skill {name!r} is not a positive number: give one")
        if weights[name] < _LEAST * max(weights.values()):
            raise GrowlmError(
                f"weight {weights[name]} of skill {name!r} is under a thousandth of another: leave it out"
            )
    return {name: Fraction(weights[name]) for name in names}
