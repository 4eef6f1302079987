"""Small requests: counting, saying hello to somebody, the sound of an animal, choosing."""

from growlm.tinyworld.conversation import Conversation
from growlm.tinyworld.lexicon import ANIMALS, FOODS, MASS, NUMBERS, SOUNDS, THINGS, a

_FACTS = (
    ("the sun", "yellow"),
    ("the sky", "blue"),
    ("grass", "green"),
    ("snow", "white"),
    ("a carrot", "orange"),
    ("a strawberry", "red"),
    ("a frog", "green"),
    ("milk", "white"),
    ("a leaf", "green"),
    ("a banana", "yellow"),
)


def count(talk: Conversation) -> None:
    """The user asks to count to a number."""
    last = talk.dice.number(3, 10)
    counted = ", ".join(NUMBERS[1 : last + 1])
    talk.exchange(
        (
            "Can you count to {last}?",
            "Count to {last}, please.",
            "Please count to {last}.",
            "I want you to count to {last}.",
        ),
        ("Yes{you}! {Counted}.", "Sure{you}! {Counted}!", "Okay{you}. {Counted}."),
        (counted,),
        last=NUMBERS[last],
        Counted=counted.capitalize(),
    )


def say_hello(talk: Conversation) -> None:
    """The user asks to greet somebody."""
    friend = talk.cast.person()
    who = talk.dice.pick(("my friend", "my brother" if friend.kind == "boy" else "my sister"))
    talk.exchange(
        (
            "Say hello to {who} {name}!",
            "This is {who} {name}.",
            "{name} is here too. Say hi!",
            "Please say hello to {name}.",
        ),
        ("Hello, {name}! It is nice to see you and {you_too}.",)
        if talk.you
        else ("Hello, {name}! It is nice to see you.",),
        (friend.name,),
        name=friend.name,
        who=who,
        you_too=talk.you or "",
    )


def sound(talk: Conversation) -> None:
    """The user asks what an animal says."""
    animal = talk.dice.pick(sorted(SOUNDS))
    talk.exchange(
        ("What does a {animal} say?", "What sound does a {animal} make?", "How does a {animal} talk?"),
        ("A {animal} says {sound}{you}!", "It says {sound}{you}!", "The {animal} goes {sound}, {sound}{you}!"),
        (SOUNDS[animal],),
        tuple(SOUNDS.values()),
        animal=animal,
        sound=SOUNDS[animal],
    )


def color_of(talk: Conversation) -> None:
    """The user asks the color of something that everybody knows."""
    what, color = talk.dice.pick(_FACTS)
    talk.exchange(
        ("What color is {what}?", "Do you know what color {what} is?", "Tell me the color of {what}."),
        ("{What} is {color}{you}.", "It is {color}{you}."),
        (color,),
        what=what,
        What=what.capitalize(),
        color=color,
    )


def choose(talk: Conversation) -> None:
    """The user lets the assistant choose; it takes what was named last."""
    words = talk.dice.pick((THINGS, ANIMALS, FOODS))
    first, second = talk.cast.word(words), talk.cast.word(words)
    talk.exchange(
        (
            "Do you like {first} or {second} more?",
            "What is better, {first} or {second}?",
            "Should I take {first} or {second}?",
        ),
        ("I would take {second}{you}.", "I like {second} more{you}."),
        (second,),
        (first, second),
        first=first if first in MASS else a(first),
        second=second if second in MASS else a(second),
    )


def draw(talk: Conversation) -> None:
    """The user asks what to do with something."""
    thing = talk.cast.word(THINGS)
    animal = talk.cast.word(ANIMALS)
    talk.exchange(
        (
            "I have {a_thing} and {animal}. What should I do?",
            "What can I do with {a_thing} and {animal}?",
            "Help me! I have only {a_thing} and {animal} to play with.",
        ),
        (
            "You can show the {thing} to the {bare}{you}.",
            "Let the {bare} play with the {thing}{you}.",
            "You can hide the {thing}, and the {bare} looks for it{you}.",
        ),
        (thing, animal),
        a_thing=a(thing),
        animal=a(animal),
        thing=thing,
        bare=animal,
    )
