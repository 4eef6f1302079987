"""Which units of a module matter to a skill: measures of importance, one a file, and what is made of them."""

from growlm.methods.importance.running import Importance, sensitivity, smooth
from growlm.methods.importance.units import (
    ACCUMULATED,
    OF_PHASE,
    Units,
    accumulated,
    important,
    normalised,
    rank_scores,
    spread,
    unit_of,
    unit_scores,
)

__all__ = [
    "ACCUMULATED",
    "OF_PHASE",
    "Importance",
    "Units",
    "accumulated",
    "important",
    "normalised",
    "rank_scores",
    "sensitivity",
    "smooth",
    "spread",
    "unit_of",
    "unit_scores",
]
