"""Stories from plots: a plot is data, a list of steps in ``plots.yaml``, whose head says what a step may be."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from growlm.tinyworld.lexicon import ANIMALS, CONTAINERS, FOODS, Words, a, read_texts
from growlm.tinyworld.tale import Tale
from growlm.tinyworld.world import Event

Step = Mapping[str, Any]

_LISTS: Mapping[str, Words] = {"animals": ANIMALS, "containers": CONTAINERS, "foods": FOODS}


def plot_names(sort: str) -> tuple[str, ...]:
    """Return the names of the plots about a sort of thing: ``"thing"``, ``"animal"`` or ``"food"``."""
    return tuple(_plots()["plots"][sort])


def tell(tale: Tale, sort: str, name: str) -> None:
    """Add a plot's events to a story's world and its sentences to the story's text.

    Args:
        tale: the story, which has no sentence yet.
        sort: what it is about: ``"thing"``, ``"animal"`` or ``"food"``.
        name: the plot.
    """
    roles = {"hero": tale.hero.name, "friend": tale.friend.name, "thing": tale.thing, "place": tale.place}
    _follow(tale, _plots()["plots"][sort][name], roles, {})


def _follow(tale: Tale, steps: Sequence[Step], roles: dict[str, str], slots: dict[str, str]) -> None:
    for step in steps:
        if "use" in step:
            _follow(tale, _plots()["parts"][step["use"]], roles, slots)
        elif "then" in step:
            _follow(tale, step["then" if tale.dice.chance(step["chance"]) else "else"], roles, slots)
        elif "say" in step:
            if tale.dice.chance(step["chance"]) if "chance" in step else True:
                tale.say(step["say"], **slots)
        elif "event" in step:
            _happen(tale, step, roles)
        elif "feel" in step:
            tale.feel(step["feel"])
        elif "draw" in step:
            ((role, words),) = step["draw"].items()
            roles[role] = tale.cast.word(_LISTS[words])
            slots[role] = a(roles[role])
        else:
            ((role, choices),) = step["pick"].items()
            roles[role] = slots[role] = tale.dice.pick(choices)


def _happen(tale: Tale, step: Step, roles: Mapping[str, str]) -> None:
    parties = {key: roles[step[key]] for key in ("actor", "thing", "other", "place") if key in step}
    tale.world.record(Event(step["event"], **parties))
    if "holder" in step:
        tale.world.holder_of[parties["thing"]] = roles[step["holder"]]


@cache
def _plots() -> Any:
    return read_texts("plots")
