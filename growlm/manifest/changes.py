"""What later phases did to earlier skills, from the scores that a stack's manifest records: no model is built.

For every skill but the newest: its score right after its own phase and the latest one that was measured since, in the
same inference mode. For the base's own text: the bare base's score and the latest one in that mode.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from growlm.errors import GrowlmError, unknown_name
from growlm.manifest.manifest import Manifest, ModuleRecord
from growlm.manifest.scores import MODES
from growlm.skills.metric import higher_is_better

BASE_SKILL = "stories"


@dataclass(frozen=True)
class Change:
    """How the score of one skill changed.

    Args:
        skill: the skill's module, or ``stories`` for the base's own text.
        metric: what was measured.
        before: the score after the skill's own phase; for ``stories`` the bare base's.
        after: the latest score; None if it was not measured again.
        measured_after: the module whose phase the latest score was measured after; None likewise.
    """

    skill: str
    metric: str
    before: float
    after: float | None
    measured_after: str | None

    @property
    def loss(self) -> float:
        """By how much it got worse; NaN if it was not measured again.

        For a metric from 0 to 1 the difference; for one that is better the lower, such as bits per byte, the rise as a
        share of the score before.
        """
        if self.after is None:
            return math.nan
        if higher_is_better(self.metric):
            return self.before - self.after
        return (self.after - self.before) / self.before


def changes(manifest: Manifest, mode: str | None = None) -> list[Change]:
    """List how the scores of a stack's earlier skills changed.

    Args:
        manifest: the stack's manifest.
        mode: the inference mode; None: ``routed`` if the newest phase was scored so, else ``all``.

    Returns:
        The base's own text first, then the skills in order of growth without the newest; none that was never scored in
        that mode.

    Raises:
        GrowlmError: for a mode that there is not, or a stack without modules.
    """
    records = manifest.modules
    if not records:
        raise GrowlmError("the stack has no modules yet, so nothing can have changed: grow a skill first")
    if mode is None:
        mode = "routed" if "routed" in records[-1].scores.get(records[-1].name, {}) else "all"
    if mode not in MODES:
        raise unknown_name("mode", mode, MODES)
    first = records[0].scores.get(BASE_SKILL, {}).get("base")
    found = [] if first is None else [_change(BASE_SKILL, first, records, mode)]
    for number, record in enumerate(records[:-1], 1):
        own = record.scores.get(record.name, {}).get(mode)
        if own is not None:
            found.append(_change(record.name, own, records[number:], mode))
    return found


def _change(skill: str, before: Mapping[str, Any], later: Sequence[ModuleRecord], mode: str) -> Change:
    """Compare a score with the latest one among later phases."""
    for record in reversed(later):
        score = record.scores.get(skill, {}).get(mode)
        if score is not None:
            return Change(skill, before["metric"], before["value"], score["value"], record.name)
    return Change(skill, before["metric"], before["value"], None, None)
