"""Counting: how many did something, how many things somebody has."""

from growlm.tinyworld.cast import Cast
from growlm.tinyworld.lexicon import ANIMALS, NUMBERS, THINGS, a
from growlm.tinyworld.problem import Problem

_DID = ("ran", "jumped", "sang", "laughed", "cried", "smiled")
_MOST = 5


def count_doers(cast: Cast, num_people: int) -> Problem:
    """Tells what each of some people did and asks how many did one of the things."""
    dice = cast.dice
    asked, other = dice.some(_DID, 2)
    did = [asked if dice.chance(0.5) else other for _ in range(num_people)]
    facts = tuple(f"{person.name} {done}." for person, done in zip(cast.people(num_people), did, strict=True))
    return _counted(facts, f"How many {asked}?", did.count(asked))


def count_owned(cast: Cast, num_things: int) -> Problem:
    """Tells what somebody has, animals and things mixed, and asks how many of one sort."""
    dice = cast.dice
    animals = dice.number(1, min(num_things - 1, _MOST))
    owned = [*cast.words(ANIMALS, animals), *cast.words(THINGS, num_things - animals)]
    name = cast.person().name
    facts = tuple(f"{name} has {a(noun)}." for noun in dice.shuffled(owned))
    return _counted(facts, f"How many animals does {name} have?", animals)


def _counted(facts: tuple[str, ...], question: str, number: int) -> Problem:
    choices = tuple(f"number is {NUMBERS[value]}" for value in range(len(facts) + 1))
    return Problem(facts, question, f"The {choices[number]}.", choices[number], choices)
