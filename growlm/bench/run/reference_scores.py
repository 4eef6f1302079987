"""What a skill's score has to beat without any model, kept with a cell's results."""

from growlm.metrics.references import references
from growlm.skills.metric import OF_MESSAGES
from growlm.skills.skill import Skill

TITLES = {
    "drawn": "drawn choice",
    "majority": "majority answer",
    "blind": "question-blind counter",
    "rule": "rule without memory",
}
"""The references, and what tables call them."""
_OF_COMPLETIONS = ("exact_match", "label_match", "letter_match")


def reference_scores(skill: Skill, limit: int | None) -> dict[str, float]:
    """Compute the references that a skill has, by the skill's own metric.

    Args:
        skill: the skill.
        limit: how many test examples are scored.

    Returns:
        By the keys of ``TITLES``; empty for a metric that judges no whole answers.
    """
    if skill.metric in OF_MESSAGES:
        found = references(skill, limit=limit)
        if found is None:
            return {}
        rule = {} if found.stateless is None else {"rule": found.stateless}
        return {"drawn": found.drawn, "majority": found.constant, "blind": found.blind, **rule}
    if skill.metric in _OF_COMPLETIONS:
        return {"drawn": skill.chance(), "majority": skill.majority()}
    return {}
