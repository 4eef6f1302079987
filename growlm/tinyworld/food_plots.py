"""Plots about food: made for somebody, shared, or eaten by an animal."""

from growlm.tinyworld.lexicon import ANIMALS, a
from growlm.tinyworld.plot_parts import begin, closing, go, meet
from growlm.tinyworld.tale import Tale
from growlm.tinyworld.world import Event


def make(tale: Tale) -> None:
    """The hero makes food for a friend and brings it to the place."""
    world, hero, friend = tale.world, tale.hero.name, tale.friend.name
    begin(tale)
    world.take(hero, tale.thing, "get")
    tale.tell(
        (
            "{hero} got {a_thing} for {friend}.",
            "{He} wanted to be nice, so {he} got {a_thing} for {friend}.",
            "One day, {hero} got {a_thing} to give to {friend}.",
        )
    )
    go(tale)
    world.give(hero, tale.thing, friend)
    tale.tell(
        (
            "There {he} gave the {thing} to {friend}.",
            "{hero} saw {friend} and gave {friend} the {thing}.",
            '"This is for you," said {hero}, and gave {friend} the {thing}.',
        )
    )
    tale.maybe(0.6, ("It was so yummy!", '"Thank you!" said {friend}.', "{friend} ate it all and smiled."))
    closing(tale)


def share(tale: Tale) -> None:
    """The hero has food and shares it."""
    world, hero, friend = tale.world, tale.hero.name, tale.friend.name
    begin(tale)
    go(tale)
    world.take(hero, tale.thing, "have")
    tale.tell(
        (
            "{hero} had {a_thing} and was ready to eat.",
            "{He} had {a_thing} in a little bag.",
            "{hero} sat down and had {a_thing}.",
        )
    )
    meet(tale)
    world.record(Event("share", hero, tale.thing, friend))
    tale.tell(
        (
            "{hero} shared the {thing} with {friend}.",
            "{friend} was hungry, so {hero} shared the {thing} with {friend}.",
            '"Let us share the {thing}," said {hero} to {friend}.',
        )
    )
    closing(tale)


def eaten(tale: Tale) -> None:
    """An animal eats the food, and a friend brings more."""
    world, hero, friend = tale.world, tale.hero.name, tale.friend.name
    animal = tale.cast.word(ANIMALS)
    begin(tale)
    world.take(hero, tale.thing, "have")
    tale.tell(("{hero} had {a_thing}.", "{He} had {a_thing} for lunch.", "For lunch, {hero} had {a_thing}."))
    go(tale)
    world.record(Event("eat", animal, tale.thing))
    tale.tell(
        (
            "But then {animal} came and ate the {thing}!",
            "Soon {animal} came along and ate the {thing}.",
            "Then {animal} ran to {hero} and ate the {thing}!",
        ),
        animal=a(animal),
    )
    world.record(Event("help", friend, other=hero))
    tale.tell(
        (
            "{friend} came to help {hero} and gave {him} more.",
            '"I will help you, {hero}," said {friend}.',
            "{friend} saw it and wanted to help {hero}.",
        )
    )
    closing(tale)
