"""People moving things about, and questions about where everything is and who has it.

An answer takes one step at a time: who has the thing or left it, where they are, and then what was asked.
"""

import re
from dataclasses import dataclass, field
from itertools import zip_longest

from growlm.tinyworld.cast import Cast
from growlm.tinyworld.dice import first_fitting
from growlm.tinyworld.lexicon import PLACES, THINGS
from growlm.tinyworld.problem import Problem
from growlm.tinyworld.world import World

_KEPT_EASY = 0.1
_NOW = 0.2
"""Of the questions about the end of a scene that say so."""
_DISTRACTORS = (
    "The sun was warm.",
    "It was a nice day.",
    "{name} was happy.",
    "{name} sang a song.",
    "A bird flew by.",
    "{name} was hungry.",
    "The wind was cold.",
    "{name} laughed.",
)


@dataclass
class Scene:
    """A scene.

    Args:
        cast: who and what takes part is drawn from here.
        people: the people's names.
        things: the things.
        places: the places.
        world: what is true.
        sentences: what happened, in order.
        trails: for each person, the places where they were, in order; for each thing, who had it and, at the end of
            the list, the place where it was put down.
    """

    cast: Cast
    people: list[str]
    things: list[str]
    places: list[str]
    world: World = field(default_factory=World)
    sentences: list[str] = field(default_factory=list)
    trails: dict[str, list[str]] = field(default_factory=dict)

    def say(self, *wordings: str, **slots: str) -> None:
        """Add a sentence in one of several wordings."""
        self.sentences.append(self.cast.dice.pick(wordings).format(**slots))

    def go(self, name: str, place: str, *wordings: str) -> None:
        """Move a person."""
        self.world.go(name, place)
        self.trails.setdefault(name, []).append(place)
        self.say(*wordings, name=name, at=at(place), place=place)

    def take(self, name: str, thing: str) -> None:
        """Give a thing into a person's hands."""
        self.world.take(name, thing)
        self.trails.setdefault(thing, []).append(name)
        self.say(
            "{name} took the {thing}.",
            "{name} got the {thing}.",
            "{name} picked up the {thing}.",
            "{name} found the {thing}.",
            name=name,
            thing=thing,
        )

    def give(self, giver: str, thing: str, taker: str) -> None:
        """Hand a thing over."""
        self.world.give(giver, thing, taker)
        self.trails[thing].append(taker)
        self.say(
            "{a} gave the {thing} to {b}.",
            "{a} gave {b} the {thing}.",
            "{a} handed the {thing} to {b}.",
            "{a} passed the {thing} to {b}.",
            a=giver,
            b=taker,
            thing=thing,
        )

    def put(self, name: str, thing: str) -> None:
        """Put a thing down where the person is."""
        place = self.world.place_of[name]
        self.world.put(name, thing, place)
        self.trails[thing].append(place)
        self.say(
            "{name} put the {thing} down {at}.",
            "{name} left the {thing} {at}.",
            "{name} dropped the {thing} {at}.",
            name=name,
            thing=thing,
            at=at(place),
        )


def at(place: str) -> str:
    """Return where, with one preposition for every place: made-up ones have no other."""
    return f"at the {place}"


def draw_scene(cast: Cast, difficulty: float) -> Scene:
    """Draw a scene of a size that goes with the difficulty, from 0 to 1."""
    dice = cast.dice
    return play_scene(
        cast,
        num_people=dice.number(2, 2 + round(2 * difficulty)),
        num_things=dice.number(1, 1 + round(2 * difficulty)),
        num_events=dice.number(1, 2 + round(6 * difficulty)),
        noise=0.2 * difficulty,
    )


def play_scene(cast: Cast, num_people: int, num_things: int, num_events: int, noise: float) -> Scene:
    """Let people go about and handle things.

    Args:
        cast: where names and words come from.
        num_people: how many people.
        num_things: how many things.
        num_events: how many events after everybody and everything has its first place.
        noise: chance of a sentence without meaning after an event.

    Returns:
        The scene.
    """
    dice = cast.dice
    scene = Scene(
        cast,
        [person.name for person in cast.people(num_people)],
        [cast.noun(THINGS) for _ in range(num_things)],
        [cast.noun(PLACES) for _ in range(3)],
    )
    for name in scene.people:
        scene.go(name, dice.pick(scene.places), "{name} was {at}.", "{name} is {at}.", "{name} went to the {place}.")
    for thing in scene.things:
        scene.take(dice.pick(scene.people), thing)
    for _ in range(num_events):
        acts = dice.shuffled((_go, _go, _give, _put, _pick_up))
        any(act(scene) for act in acts)  # until one is possible; going always is
        if dice.chance(noise):
            scene.say(*_DISTRACTORS, name=dice.pick(scene.people))
    return scene


def memory_problems(scene: Scene) -> list[list[Problem]]:
    """List what can be asked about a scene, sort by sort.

    Args:
        scene: the scene.

    Returns:
        For each sort of question that has an answer, its problems; truth is read from the scene's world.
    """
    sorts = [
        [_where_is(scene, thing) for thing in scene.things],
        [_where_person(scene, name) for name in scene.people],
        [_who_has(scene, thing) for thing in scene.things if scene.world.holder_of[thing] in scene.people],
        [_who_had_first(scene, thing) for thing in scene.things if len(set(scene.world.holders(thing))) > 1],
        [_where_before(scene, name) for name in scene.people if _can_ask_before(scene, name)],
    ]
    return [problems for problems in sorts if problems]


def memory_problem(cast: Cast, difficulty: float) -> Problem:
    """Draw a scene and one question about it, mostly one whose answer takes tracking.

    Of the questions that ``stateless_answer`` gets right, one in ten is kept.

    Args:
        cast: who and what takes part.
        difficulty: from 0 to 1.

    Returns:
        The problem.
    """

    def fitting(_: int) -> Problem | None:
        problem = cast.dice.pick(cast.dice.pick(memory_problems(draw_scene(cast.again(), difficulty))))
        return problem if stateless_answer(problem.text) != problem.final or cast.dice.chance(_KEPT_EASY) else None

    return first_fitting("question of memory", fitting)


def memory_questions(cast: Cast, difficulty: float, count: int) -> list[Problem]:
    """Draw a scene and questions about it: one of each sort before a second of any.

    Args:
        cast: who and what takes part.
        difficulty: from 0 to 1.
        count: greatest number of questions.

    Returns:
        The problems, all with the same facts.
    """
    dice = cast.dice
    sorts = [dice.shuffled(problems) for problems in dice.shuffled(memory_problems(draw_scene(cast, difficulty)))]
    return [problem for of_each in zip_longest(*sorts) for problem in of_each if problem is not None][:count]


def stateless_answer(text: str) -> str | None:
    """Answer a question without keeping any state, to see what tracking adds.

    Args:
        text: the facts and the question.

    Returns:
        The answer that the last sentence with what is asked for and a place (for who: a name) gives; None if there is
        no such sentence.
    """
    *facts, question = re.findall(r"[^.?]+[.?]", text)
    words = re.findall(r"\w+", question)
    about = words[3] if words[2] == "the" else words[2]
    named = [fact for fact in facts if re.search(rf"\b{about}\b", fact)]
    if words[0] == "Who":
        names = [re.findall(r"\b[A-Z]\w+", fact) for fact in named]
        had = words[1] == "had"
        if not names:
            return None
        return f"{names[0][0]} had the {about} first" if had else f"{names[-1][-1]} has the {about}"
    places = [found for fact in named for found in re.findall(r"(?:to|at) the (\w+)", fact)]
    if "before" in words:
        places = [place for place in places if place != words[-1]]
        return f"{about} was {at(places[-1])}" if places else None
    subject = f"The {about}" if words[2] == "the" else about
    return f"{subject} is {at(places[-1])}" if places else None


def _go(scene: Scene) -> bool:
    name = scene.cast.dice.pick(scene.people)
    place = scene.cast.dice.pick([place for place in scene.places if place != scene.world.place_of[name]])
    scene.go(
        name,
        place,
        "{name} went to the {place}.",
        "{name} walked to the {place}.",
        "{name} moved to the {place}.",
        "Then {name} ran to the {place}.",
    )
    return True


def _give(scene: Scene) -> bool:
    world = scene.world
    pairs = [
        (giver, taker)
        for giver in scene.people
        for taker in scene.people
        if giver != taker and world.place_of[giver] == world.place_of[taker] and world.things_of(giver)
    ]
    if not pairs:
        return False
    giver, taker = scene.cast.dice.pick(pairs)
    scene.give(giver, scene.cast.dice.pick(world.things_of(giver)), taker)
    return True


def _put(scene: Scene) -> bool:
    able = [name for name in scene.people if scene.world.things_of(name)]
    if not able:
        return False
    name = scene.cast.dice.pick(able)
    scene.put(name, scene.cast.dice.pick(scene.world.things_of(name)))
    return True


def _pick_up(scene: Scene) -> bool:
    world = scene.world
    able = [(name, thing) for name in scene.people for thing in world.things_of(world.place_of[name])]
    if not able:
        return False
    scene.take(*scene.cast.dice.pick(able))
    return True


def _now(scene: Scene) -> str:
    return " now" if scene.cast.dice.chance(_NOW) else ""


def _where_is(scene: Scene, thing: str) -> Problem:
    holder, where = scene.world.holder_of[thing], at(scene.world.where(thing))
    held = holder in scene.people
    who = holder if held else next(event.actor for event in reversed(scene.world.history) if event.thing == thing)
    work = f"{who} has the {thing}. {who} is {where}." if held else f"{who} left the {thing} {where}."
    sort = "where held thing" if held else "where left thing"
    choices = tuple(f"The {thing} is {at(place)}" for place in scene.places)
    final = f"The {thing} is {where}"
    return Problem(tuple(scene.sentences), f"Where is the {thing}{_now(scene)}?", final, work, choices, sort)


def _where_person(scene: Scene, name: str) -> Problem:
    choices = tuple(f"{name} is {at(place)}" for place in scene.places)
    final = f"{name} is {at(scene.world.place_of[name])}"
    return Problem(tuple(scene.sentences), f"Where is {name}{_now(scene)}?", final, "", choices, "where person")


def _who_has(scene: Scene, thing: str) -> Problem:
    choices = tuple(f"{name} has the {thing}" for name in scene.people)
    final = f"{scene.world.holder_of[thing]} has the {thing}"
    return Problem(tuple(scene.sentences), f"Who has the {thing}{_now(scene)}?", final, "", choices, "who has")


def _who_had_first(scene: Scene, thing: str) -> Problem:
    choices = tuple(f"{name} had the {thing} first" for name in scene.people)
    final = f"{scene.world.holders(thing)[0]} had the {thing} first"
    facts = tuple(scene.sentences)
    return Problem(facts, f"Who had the {thing} first?", final, "", choices, "who had first")


def _can_ask_before(scene: Scene, name: str) -> bool:
    trail = scene.trails[name]
    return len(trail) > 1 and trail.count(trail[-1]) == 1


def _where_before(scene: Scene, name: str) -> Problem:
    *_, before, now = scene.trails[name]
    choices = tuple(f"{name} was {at(place)}" for place in scene.places if place != now)
    question = f"Where was {name} before {name} went to the {now}?"
    final = f"{name} was {at(before)}"
    return Problem(tuple(scene.sentences), question, final, "", choices, "where before")
