"""People moving things about, and questions about where everything is and who has it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from growlm.tinyworld.cast import Cast, Person
from growlm.tinyworld.lexicon import CONTAINERS, PLACES, THINGS, a, at
from growlm.tinyworld.problem import Problem
from growlm.tinyworld.world import World

_DISTRACTORS = (
    "The sun was warm.",
    "It was a nice day.",
    "{name} was happy.",
    "{name} sang a song.",
    "A bird flew by.",
    "{name} was hungry.",
    "{name} liked the day.",
    "The wind was cold.",
    "{name} laughed.",
    "A dog ran by.",
)


@dataclass
class Scene:
    """A scene.

    Args:
        cast: who and what takes part is drawn from here.
        people: the people.
        things: the things.
        places: the places.
        container: one container, which stays where it is.
        world: what is true.
        sentences: what has been told.
    """

    cast: Cast
    people: list[Person]
    things: list[str]
    places: list[str]
    container: str
    world: World = field(default_factory=World)
    sentences: list[str] = field(default_factory=list)

    def tell(self, *wordings: str, **slots: str) -> None:
        """Tells a sentence in one of several wordings."""
        self.sentences.append(self.cast.dice.pick(wordings).format(**slots))


def draw_scene(cast: Cast, difficulty: float) -> Scene:
    """Draws a scene of a size that goes with the difficulty, from 0 to 1."""
    dice = cast.dice
    return play_scene(
        cast,
        num_people=dice.number(2, 2 + round(2 * difficulty)),
        num_things=dice.number(1, 1 + round(2 * difficulty)),
        num_events=dice.number(1, 2 + round(6 * difficulty)),
        noise=0.3 * difficulty,
    )


def play_scene(cast: Cast, num_people: int, num_things: int, num_events: int, noise: float) -> Scene:
    """Lets people go about and handle things.

    Args:
        cast: where names and words come from.
        num_people: how many people.
        num_things: how many things.
        num_events: how many events after everybody and everything is where they are first.
        noise: chance of a sentence without meaning after an event.

    Returns:
        The scene.
    """
    dice = cast.dice
    first_thing, first_place = cast.thing_and_place()
    things = [first_thing, *cast.words(THINGS, num_things - 1)]
    places = [first_place, *cast.words(PLACES, 2)]
    scene = Scene(cast, cast.people(num_people), things, places, cast.word(CONTAINERS))
    world = scene.world
    world.place_of[scene.container] = dice.pick(places)
    scene.tell("There was {it} {at}.", it=a(scene.container), at=at(world.place_of[scene.container]))
    for person in scene.people:
        place = dice.pick(places)
        world.go(person.name, place)
        scene.tell("{name} was {at}.", "{name} went {at_to}.", name=person.name, at=at(place), at_to=_to(place))
    for thing in dice.shuffled(things):
        _take(scene, dice.pick(scene.people), thing)
    for _ in range(num_events):
        acts = dice.shuffled((_go, _go, _give, _put, _drop, _pick_up))
        any(act(scene) for act in acts)  # until one is possible; going always is
        if dice.chance(noise):
            scene.tell(*_DISTRACTORS, name=dice.pick(scene.people).name)
    return scene


def _take(scene: Scene, person: Person, thing: str) -> None:
    scene.world.take(person.name, thing)
    scene.tell("{name} took the {thing}.", "{name} got the {thing}.", name=person.name, thing=thing)


def _go(scene: Scene) -> bool:
    person = scene.cast.dice.pick(scene.people).name
    others = [place for place in scene.places if place != scene.world.place_of[person]]
    place = scene.cast.dice.pick(others)
    scene.world.go(person, place)
    scene.tell("{name} went {to}.", "{name} walked {to}.", "Then {name} ran {to}.", name=person, to=_to(place))
    return True


def _give(scene: Scene) -> bool:
    world = scene.world
    pairs = [
        (giver.name, taker.name)
        for giver in scene.people
        for taker in scene.people
        if giver is not taker
        and world.place_of[giver.name] == world.place_of[taker.name]
        and world.things_of(giver.name)
    ]
    if not pairs:
        return False
    giver, taker = scene.cast.dice.pick(pairs)
    thing = scene.cast.dice.pick(world.things_of(giver))
    world.give(giver, thing, taker)
    scene.tell("{a} gave the {thing} to {b}.", "{a} gave {b} the {thing}.", a=giver, b=taker, thing=thing)
    return True


def _put(scene: Scene) -> bool:
    place = scene.world.place_of[scene.container]
    return _let_go(
        scene,
        lambda person: scene.container if scene.world.place_of[person] == place else None,
        ("{name} put the {thing} in the {holder}.", "{name} hid the {thing} in the {holder}."),
    )


def _drop(scene: Scene) -> bool:
    return _let_go(
        scene,
        lambda person: scene.world.place_of[person],
        ("{name} put the {thing} down there.", "{name} left the {thing} there."),
    )


def _let_go(scene: Scene, holder: Callable[[str], str | None], wordings: tuple[str, ...]) -> bool:
    world = scene.world
    able = [person.name for person in scene.people if world.things_of(person.name) and holder(person.name)]
    if not able:
        return False
    name = scene.cast.dice.pick(able)
    thing = scene.cast.dice.pick(world.things_of(name))
    spot = holder(name) or ""
    world.put(name, thing, spot)
    if world.history[-2].actor != name:
        # "there" has to be the place of the one who was just spoken of
        scene.tell("{name} was {at}.", name=name, at=at(world.place_of[name]))
    scene.tell(*wordings, name=name, thing=thing, holder=spot)
    return True


def _pick_up(scene: Scene) -> bool:
    world = scene.world
    able = [
        (person, thing)
        for person in scene.people
        for thing, holder in world.holder_of.items()
        if holder in (world.place_of[person.name], scene.container)
        and world.where(thing) == world.place_of[person.name]
    ]
    if not able:
        return False
    person, thing = scene.cast.dice.pick(able)
    _take(scene, person, thing)
    return True


def _to(place: str) -> str:
    """Says whereto: ``to the park``."""
    return f"to the {place}"


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
