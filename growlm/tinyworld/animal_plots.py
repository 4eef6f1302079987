"""Plots about an animal: fed, brought home, or played with."""

from growlm.tinyworld.lexicon import FOODS, a
from growlm.tinyworld.plot_parts import begin, closing, go
from growlm.tinyworld.tale import Tale
from growlm.tinyworld.world import Event


def feed(tale: Tale) -> None:
    """The hero meets a hungry animal and gives it food."""
    world, hero = tale.world, tale.hero.name
    food = tale.cast.word(FOODS)
    begin(tale)
    go(tale)
    world.record(Event("meet", hero, other=tale.thing))
    tale.tell(
        (
            "There {he} met {a_thing}.",
            "{He} heard a noise and met {a_thing}.",
            "Behind a tree, {he} met {a_thing}.",
        )
    )
    tale.tell(("The {thing} was hungry.", '"I am so hungry," said the {thing}.', "The {thing} wanted to eat."))
    world.give(hero, food, tale.thing)
    tale.tell(
        (
            "{hero} gave {food} to the {thing}.",
            "So {hero} gave the {thing} {food}.",
            "{He} was kind and gave {food} to the {thing}.",
        ),
        food=a(food),
    )
    tale.maybe(0.5, ("They became good friends.", "The {thing} said thank you.", "The {thing} smiled."))
    closing(tale)


def bring_home(tale: Tale) -> None:
    """The animal is lost, and the hero and a friend help it."""
    world, hero, friend = tale.world, tale.hero.name, tale.friend.name
    tale.tell(
        (
            "Once upon a time, {a_thing} got lost {at}.",
            "One day, {a_thing} was lost {at}.",
            "Once there was {a_thing} that was lost {at}.",
        )
    )
    world.record(Event("lost", tale.thing, place=tale.place))
    tale.tell(("It could not find its mom.", "It was scared and cried.", "It wanted to go home."))
    world.record(Event("find", hero, tale.thing))
    tale.tell(
        (
            "A {kind} named {hero} found the {thing}.",
            "Then a {kind} named {hero} came and found the {thing}.",
            "A little {kind} named {hero} heard it and found the {thing}.",
        )
    )
    world.record(Event("help", friend, other=hero))
    tale.tell(
        (
            "{friend} came to help {hero}, and they took the {thing} home.",
            "With the help of {friend}, {hero} took the {thing} home.",
            "{hero} asked {friend} for help, and they walked home with the {thing}.",
        )
    )
    closing(tale)


def play(tale: Tale) -> None:
    """The hero and the animal play together."""
    world, hero = tale.world, tale.hero.name
    begin(tale)
    world.record(Event("have", hero, tale.thing))
    tale.tell(
        (
            "{hero} had {a_thing} for a friend.",
            "{He} had {a_thing}, and they did everything together.",
            "{hero} had {a_thing} as a pet.",
        )
    )
    go(tale)
    game = tale.dice.pick(("run", "jump", "dance", "hide", "climb", "sing"))
    world.record(Event("play", hero, thing=game, other=tale.thing))
    tale.tell(
        (
            "The {thing} showed {hero} how to {game}.",
            "{hero} and the {thing} liked to {game} there.",
            '"Let us {game}!" said the {thing} to {hero}.',
        ),
        game=game,
    )
    tale.maybe(0.6, ("They had so much fun.", "They laughed and laughed.", "It was a good day."))
    closing(tale)
