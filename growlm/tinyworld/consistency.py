"""Little stories with two endings, of which one contradicts the story; to probe a bare base."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from growlm.tinyworld.cast import Cast
from growlm.tinyworld.dice import Dice
from growlm.tinyworld.lexicon import COLORS, CONTAINERS, PLACES, THINGS, a, at
from growlm.tinyworld.world import World


@dataclass(frozen=True)
class Probe:
    """A story with two endings.

    Args:
        sort: what has to be kept in mind, such as ``"holder"``.
        context: the story.
        right: the ending that agrees with it.
        wrong: the ending that contradicts it; it differs from the right one in a word or two.
    """

    sort: str
    context: str
    right: str
    wrong: str


def consistency_probes(count: int, seed: int = 0) -> Iterator[Probe]:
    """Make probes of every sort.

    Whatever could stand for understanding is balanced by chance: each of the two endings names something that the
    story has named, and which of them it named last says nothing.

    Args:
        count: how many of each sort.
        seed: another seed gives other probes.

    Yields:
        The probes, a sort after the other.
    """
    for sort, make in PROBES.items():
        for number in range(count):
            context, right, wrong = make(Cast(Dice(seed, "consistency", sort, number), "test"))
            yield Probe(sort, context, right, wrong)


def _holder(cast: Cast) -> tuple[str, str, str]:
    giver, taker = cast.people(2)
    thing = cast.word(THINGS)
    world = World()
    world.take(giver.name, thing)
    world.give(giver.name, thing, taker.name)
    sentence = cast.dice.pick(
        (f"{giver.name} gave the {thing} to {taker.name}.", f"{taker.name} got the {thing} from {giver.name}.")
    )
    holder = world.holder_of[thing]
    other = giver.name if holder == taker.name else taker.name
    context = (
        f"{giver.name} and {taker.name} were friends. {giver.name} had {a(thing)}. {sentence} Now the {thing} was with"
    )
    return context, f" {holder}.", f" {other}."


def _place(cast: Cast) -> tuple[str, str, str]:
    person = cast.person()
    first = cast.word(PLACES)
    second = cast.dice.pick(
        [place for place in PLACES if place != first and _preposition(place) == _preposition(first)]
    )
    world = World()
    world.go(person.name, first)
    world.go(person.name, second)
    sentence = cast.dice.pick(
        (
            f"{person.name} was {at(first)}. Then {person.he} went to the {second}.",
            f"{person.name} went to the {second}. {person.he.capitalize()} had been {at(first)} before.",
        )
    )
    now = world.place_of[person.name]
    before = first if now == second else second
    return f"{sentence} {person.name} was now {_preposition(now)}", f" {now}.", f" {before}."


def _preposition(place: str) -> str:
    return at(place).removesuffix(f" {place}")


def _container(cast: Cast) -> tuple[str, str, str]:
    person = cast.person()
    things, containers = cast.words(THINGS, 2), cast.words(CONTAINERS, 2)
    world = World()
    for thing, container in zip(things, containers, strict=True):
        world.put(person.name, thing, container)
    wanted = cast.dice.pick(things)
    holder = world.holder_of[wanted]
    other = next(container for container in containers if container != holder)
    context = (
        f"{person.name} put the {things[0]} in the {containers[0]} and the {things[1]} in the {containers[1]}. "
        f"The next day, {person.he} wanted to play with the {wanted}. {person.he.capitalize()} took it out of the"
    )
    return context, f" {holder}.", f" {other}."


def _color(cast: Cast) -> tuple[str, str, str]:
    person = cast.person()
    things, colors = cast.words(THINGS, 2), cast.words(COLORS, 2)
    world = World()
    world.color_of.update(zip(things, colors, strict=True))
    liked = cast.dice.pick(things)
    color = world.color_of[liked]
    other = next(one for one in colors if one != color)
    context = (
        f"{person.name} had two toys: {a(colors[0])} {things[0]} and {a(colors[1])} {things[1]}. "
        f"{person.he.capitalize()} liked the {liked} best. It was"
    )
    return context, f" {color}.", f" {other}."


def _owner(cast: Cast) -> tuple[str, str, str]:
    people, things = cast.people(2), cast.words(THINGS, 2)
    world = World()
    for person, thing in zip(people, things, strict=True):
        world.take(person.name, thing)
    sentence = " ".join(f"{person.name} had {a(thing)}." for person, thing in zip(people, things, strict=True))
    player = cast.dice.pick(people)
    (own,) = world.things_of(player.name)
    other = next(thing for thing in things if thing != own)
    return f"{sentence} {player.name} loved to play with {player.his}", f" {own}.", f" {other}."


def _speaker(cast: Cast) -> tuple[str, str, str]:
    first, second = cast.people(2)
    called, caller = cast.dice.shuffled((first, second))
    context = (
        f"Once upon a time, there were two friends named {first.name} and {second.name}. "
        f'They met {at(cast.word(PLACES))}. "Hello, {called.name}!" said'
    )
    return context, f" {caller.name}.", f" {called.name}."


def _pronoun(cast: Cast) -> tuple[str, str, str]:
    person = cast.person()
    place = cast.word(PLACES)
    wrong = "he" if person.he == "she" else "she"
    context = f"Once upon a time, there was a little {person.kind} named {person.name}. One day,"
    return context, f" {person.he} went to the {place}.", f" {wrong} went to the {place}."


def _feeling(cast: Cast) -> tuple[str, str, str]:
    person = cast.person()
    thing = cast.word(THINGS)
    world = World()
    sentence, feeling, other = cast.dice.pick(
        (
            (f"could not find {person.his} {thing} and began to cry", "sad", "happy"),
            (f"broke {person.his} best {thing}", "sad", "happy"),
            (f"got {a(thing)} as a gift and smiled", "happy", "sad"),
            (f"found {person.his} lost {thing} and laughed", "happy", "sad"),
        )
    )
    world.feel(person.name, feeling)
    context = f"{person.name} {sentence}. {person.he.capitalize()} was very"
    return context, f" {world.feeling_of[person.name]}.", f" {other}."


PROBES: Mapping[str, Callable[[Cast], tuple[str, str, str]]] = {
    "color": _color,
    "container": _container,
    "feeling": _feeling,
    "holder": _holder,
    "owner": _owner,
    "place": _place,
    "pronoun": _pronoun,
    "speaker": _speaker,
}
"""What makes a probe, by sort: context, right ending, wrong ending."""
