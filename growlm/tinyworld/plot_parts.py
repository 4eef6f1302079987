"""Sentences that most plots share: how a story begins, moves on and ends."""

from growlm.tinyworld.tale import Tale
from growlm.tinyworld.world import Event


def begin(tale: Tale) -> None:
    """Introduces the hero."""
    tale.tell(
        (
            "Once upon a time, there was a {kind} named {hero}.",
            "Once there was a little {kind} named {hero}.",
            "{hero} was a little {kind} who liked to play.",
            "There was once a kind {kind} named {hero}.",
            "A {kind} named {hero} lived in a small house.",
        )
    )


def go(tale: Tale) -> None:
    """Brings the hero to the place."""
    tale.world.go(tale.hero.name, tale.place)
    tale.tell(
        (
            "One day, {hero} went to play {at}.",
            "One sunny day, {he} was playing {at}.",
            "In the morning, {hero} went for a walk {at}.",
            "One day, {he} was {at}.",
            "{hero} was {at} one day.",
        )
    )


def meet(tale: Tale) -> None:
    """Brings the friend in."""
    tale.world.record(Event("meet", tale.hero.name, other=tale.friend.name))
    tale.tell(
        (
            "Then {he} met {friend}.",
            "{hero} met a friend named {friend}.",
            "On the way, {he} met {friend}.",
            "Soon {hero} met {friend}.",
        )
    )


def closing(tale: Tale) -> None:
    """Ends the story with how the hero feels."""
    tale.feel("happy", "proud", "glad", "excited", "calm", "tired")
