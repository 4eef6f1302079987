"""Plots about a thing: found, lost, given, stuck or lent."""

from growlm.tinyworld.lexicon import CONTAINERS, a
from growlm.tinyworld.plot_parts import begin, closing, go, meet
from growlm.tinyworld.tale import Tale
from growlm.tinyworld.world import Event


def find(tale: Tale) -> None:
    """The hero finds the thing at the place and shares it with a friend or keeps it."""
    world, hero, friend = tale.world, tale.hero.name, tale.friend.name
    begin(tale)
    go(tale)
    world.take(hero, tale.thing, "find")
    tale.tell(
        (
            "There, {he} found {a_thing}.",
            "{He} looked down and found {a_thing}.",
            "Near a tree, {he} found {a_thing}.",
            "{hero} looked around and found {a_thing} there.",
        )
    )
    meet(tale)
    if tale.dice.chance(0.5):
        world.give(hero, tale.thing, friend)
        tale.tell(
            (
                "{friend} liked the {thing}, so {hero} gave it to {friend}.",
                '"This is for you," {he} said, and gave the {thing} to {friend}.',
                "{hero} wanted to be kind and gave the {thing} to {friend}.",
            )
        )
    else:
        tale.tell(
            (
                "They played with the {thing} all day, and {hero} took it home.",
                "{friend} helped {hero} carry the {thing} home.",
                "{hero} let {friend} hold the {thing} and then took it home.",
            )
        )
    closing(tale)


def lose(tale: Tale) -> None:
    """The hero loses the thing, and a friend finds it in a container."""
    world, hero, friend = tale.world, tale.hero.name, tale.friend.name
    container = tale.cast.word(CONTAINERS)
    tale.tell(
        (
            "Once upon a time, a {kind} named {hero} had {a_thing}.",
            "{hero} was a little {kind} who had {a_thing}.",
            "A {kind} named {hero} loved to play with {a_thing}.",
            "Once there was a {kind} named {hero} who had {a_thing}.",
        )
    )
    world.place_of[hero] = tale.place
    world.record(Event("lose", hero, tale.thing, place=tale.place))
    tale.tell(
        (
            "One day, {he} lost the {thing} {at}.",
            "But one day the {thing} got lost {at}.",
            "One day {at}, {hero} lost the {thing}.",
        )
    )
    tale.maybe(0.6, ("{hero} was sad and began to cry.", "{He} looked and looked but could not see it.", "Oh no!"))
    world.record(Event("help", friend, other=hero))
    tale.tell(
        (
            "{friend} wanted to help {hero}.",
            '"I will help you," said {friend}.',
            "A friend named {friend} came to help {hero}.",
        )
    )
    world.place_of[container] = tale.place
    world.put(friend, tale.thing, container, "find_in")
    world.holder_of[tale.thing] = hero
    tale.tell(
        (
            "{friend} looked in {container} and found the {thing}!",
            "{friend} found the {thing} in {container}.",
            "At last {friend} saw the {thing} inside {container}.",
        ),
        container=a(container),
    )
    closing(tale)


def gift(tale: Tale) -> None:
    """The hero wishes for the thing and gets it from a friend."""
    world, hero, friend = tale.world, tale.hero.name, tale.friend.name
    begin(tale)
    world.record(Event("want", hero, tale.thing))
    tale.tell(
        (
            "{hero} wanted {a_thing} very much.",
            "{He} wished for {a_thing} every day.",
            "More than anything, {hero} wanted {a_thing}.",
        )
    )
    go(tale)
    world.give(friend, tale.thing, hero)
    tale.tell(
        (
            "{friend} was there too and gave {hero} the {thing} as a gift.",
            "{friend} came with a big box and gave {hero} the {thing}.",
            'There, {friend} gave {hero} the {thing} and said, "This is for you!"',
        )
    )
    closing(tale)


def stuck(tale: Tale) -> None:
    """The thing is out of reach, and a friend gets it down."""
    world, hero, friend = tale.world, tale.hero.name, tale.friend.name
    begin(tale)
    go(tale)
    world.record(Event("see", hero, tale.thing, place=tale.place))
    tale.tell(
        (
            "{He} saw {a_thing} high up in a tree.",
            "High in a tree, {he} saw {a_thing}.",
            "{hero} saw {a_thing}, but it was stuck in a tree.",
        )
    )
    tale.tell(
        (
            "{hero} jumped and jumped, but {he} was too small.",
            "{He} tried to reach it, but it was too high.",
            "{hero} could not get it.",
        )
    )
    world.record(Event("help", friend, other=hero))
    world.take(friend, tale.thing, "get_down")
    tale.tell(
        (
            "{friend} helped {hero} and got the {thing} down.",
            "Then {friend} came to help, climbed up and got the {thing}.",
            "{friend} wanted to help {hero} and got the {thing} with a long stick.",
        )
    )
    world.give(friend, tale.thing, hero)
    tale.tell(("{friend} gave the {thing} to {hero}.", "{friend_He} gave {hero} the {thing}."))
    closing(tale)


def lend(tale: Tale) -> None:
    """The hero has the thing, a friend is sad without one, and the hero gives it away for a while."""
    world, hero, friend = tale.world, tale.hero.name, tale.friend.name
    begin(tale)
    world.take(hero, tale.thing, "have")
    tale.tell(("{hero} had {a_thing}.", "{He} had {a_thing} and loved it.", "{He} always had {a_thing} with {him}."))
    go(tale)
    world.record(Event("meet", hero, other=friend))
    tale.tell(
        (
            "There {he} met {friend}, who had no {thing}.",
            "{hero} met {friend} there, and {friend} was sad.",
            "{He} met {friend}, who wanted to play too.",
        )
    )
    world.give(hero, tale.thing, friend)
    tale.tell(
        (
            "{hero} gave the {thing} to {friend} for the day.",
            '"You can play with it," said {hero}, and gave {friend} the {thing}.',
            "So {hero} gave {friend} the {thing}.",
        )
    )
    closing(tale)
