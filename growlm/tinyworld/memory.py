"""Questions about a scene: where somebody or something is, who has it, in which order."""

from growlm.tinyworld.lexicon import at
from growlm.tinyworld.problem import Problem
from growlm.tinyworld.scene import Scene


def memory_problems(scene: Scene) -> list[list[Problem]]:
    """Lists what can be asked about a scene, sort by sort.

    Args:
        scene: the scene.

    Returns:
        For each sort of question that has an answer, its problems; truth is read from the scene's world.
    """
    sorts = [
        [_where_is(scene, thing) for thing in scene.things],
        [_where_person(scene, person.name) for person in scene.people],
        [_who_has(scene, thing) for thing in scene.things if _has(scene, thing)],
        [_what_has(scene, person.name) for person in scene.people if len(scene.world.things_of(person.name)) == 1],
        [_who_had_first(scene, thing) for thing in scene.things if len(set(scene.world.holders(thing))) > 1],
        [_where_before(scene, person.name) for person in scene.people if _can_ask_before(scene, person.name)],
    ]
    return [problems for problems in sorts if problems]


def _has(scene: Scene, thing: str) -> bool:
    return any(scene.world.holder_of[thing] == person.name for person in scene.people)


def _where_is(scene: Scene, thing: str) -> Problem:
    choices = tuple(f"{thing} is {at(place)}" for place in scene.places)
    wanted = f"{thing} is {at(scene.world.where(thing))}"
    return Problem(tuple(scene.sentences), f"Where is the {thing}?", f"The {wanted}.", wanted, choices)


def _where_person(scene: Scene, name: str) -> Problem:
    choices = tuple(f"{name} is {at(place)}" for place in scene.places)
    wanted = f"{name} is {at(scene.world.place_of[name])}"
    return Problem(tuple(scene.sentences), f"Where is {name}?", f"{wanted}.", wanted, choices)


def _who_has(scene: Scene, thing: str) -> Problem:
    choices = tuple(f"{person.name} has the {thing}" for person in scene.people)
    wanted = f"{scene.world.holder_of[thing]} has the {thing}"
    return Problem(tuple(scene.sentences), f"Who has the {thing}?", f"{wanted}.", wanted, choices)


def _what_has(scene: Scene, name: str) -> Problem:
    choices = tuple(f"{name} has the {thing}" for thing in scene.things)
    wanted = f"{name} has the {scene.world.things_of(name)[0]}"
    return Problem(tuple(scene.sentences), f"What does {name} have?", f"{wanted}.", wanted, choices)


def _who_had_first(scene: Scene, thing: str) -> Problem:
    choices = tuple(f"{person.name} had the {thing} first" for person in scene.people)
    wanted = f"{scene.world.holders(thing)[0]} had the {thing} first"
    return Problem(tuple(scene.sentences), f"Who had the {thing} first?", f"{wanted}.", wanted, choices)


def _trail(scene: Scene, name: str) -> list[str]:
    return [event.place or "" for event in scene.world.history if event.kind == "go" and event.actor == name]


def _can_ask_before(scene: Scene, name: str) -> bool:
    trail = _trail(scene, name)
    return len(trail) > 1 and trail.count(trail[-1]) == 1


def _where_before(scene: Scene, name: str) -> Problem:
    trail = _trail(scene, name)
    now, before = trail[-1], trail[-2]
    choices = tuple(f"{name} was {at(place)} before" for place in scene.places if place != now)
    wanted = f"{name} was {at(before)} before"
    question = f"Where was {name} before {name} went to the {now}?"
    return Problem(tuple(scene.sentences), question, f"{wanted}.", wanted, choices)
