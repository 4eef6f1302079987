"""A story in the making, and the questions that its world answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from growlm.tinyworld.cast import Cast, Person
from growlm.tinyworld.dice import Dice
from growlm.tinyworld.lexicon import COLORS, a, at
from growlm.tinyworld.world import Event, World


@dataclass
class Tale:
    """A story.

    Args:
        dice: the example's chance.
        cast: where further words come from.
        hero: who it is about.
        friend: the second person.
        thing: what it is about: a thing, an animal or food.
        place: where it happens.
        color: the thing's color, if it has one.
        world: what is true in it.
        sentences: the text so far.
    """

    dice: Dice
    cast: Cast
    hero: Person
    friend: Person
    thing: str
    place: str
    color: str | None = None
    world: World = field(default_factory=World)
    sentences: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.color:
            self.world.color_of[self.thing] = self.color
        described = f"{self.color} {self.thing}" if self.color else self.thing
        hero, friend = self.hero, self.friend
        self._slots = {
            "hero": hero.name,
            "he": hero.he,
            "He": hero.he.capitalize(),
            "him": hero.him,
            "his": hero.his,
            "kind": hero.kind,
            "friend": friend.name,
            "friend_he": friend.he,
            "friend_He": friend.he.capitalize(),
            "thing": self.thing,
            "a_thing": a(described),
            "place": self.place,
            "at": at(self.place),
        }

    @property
    def text(self) -> str:
        """The story so far."""
        return " ".join(self.sentences)

    def say(self, templates: Sequence[str], **slots: str) -> None:
        """Add one of several wordings of a sentence."""
        self.sentences.append(self.dice.pick(templates).format(**self._slots, **slots))

    def feel(self, feelings: Sequence[str]) -> None:
        """Let the hero end with one of some feelings, and say so."""
        feeling = self.dice.pick(feelings)
        self.world.feel(self.hero.name, feeling)
        self.say(("{hero} was very {feeling}.", "{hero} felt {feeling}.", "Now {hero} was {feeling}."), feeling=feeling)


FEELINGS = ("happy", "proud", "glad", "excited", "calm", "tired")

# kind of event -> role asked for -> (wordings of the question, the answer)
_ASKED: dict[str, dict[str, tuple[tuple[str, ...], str]]] = {
    "go": {"place": (("Where was {actor}?", "Where did {actor} go?"), "{actor} was {at}")},
    "find": {
        "thing": (("What did {actor} find?",), "{actor} found {a_thing}"),
        "actor": (("Who found the {thing}?", "Do you know who found the {thing}?"), "{actor} found the {thing}"),
        "place": (("Where did {actor} find the {thing}?", "Where was the {thing}?"), "The {thing} was {at}"),
    },
    "lose": {
        "thing": (("What did {actor} lose?", "What got lost?"), "{actor} lost {a_thing}"),
        "actor": (("Who lost the {thing}?", "Whose {thing} was it?"), "{actor} lost the {thing}"),
        "place": (("Where did {actor} lose the {thing}?",), "{actor} lost the {thing} {at}"),
    },
    "find_in": {
        "place": (
            ("Where did {actor} find the {thing}?", "What was the {thing} in?"),
            "The {thing} was in the {place}",
        ),
        "actor": (("Who found the {thing}?", "Who saw the {thing}?"), "{actor} found the {thing}"),
    },
    "lost": {
        "actor": (("Who got lost?", "Who was lost?"), "{actor} got lost"),
        "place": (("Where was {actor} lost?", "Where did {actor} get lost?"), "{actor} got lost {at}"),
    },
    "help": {
        "actor": (
            ("Who helped {other}?", "Who came to help {other}?", "Who was a good friend?"),
            "{actor} helped {other}",
        )
    },
    "want": {
        "thing": (("What did {actor} want?", "What did {actor} wish for?"), "{actor} wanted {a_thing}"),
        "actor": (("Who wanted the {thing}?",), "{actor} wanted the {thing}"),
    },
    "see": {"thing": (("What did {actor} see?", "What was in the tree?"), "{actor} saw {a_thing}")},
    "get_down": {"actor": (("Who got the {thing} down?",), "{actor} got the {thing} down")},
    "get": {"thing": (("What did {actor} get?",), "{actor} got {a_thing}")},
    "have": {
        "thing": (("What did {actor} have?",), "{actor} had {a_thing}"),
        "actor": (("Who had the {thing}?",), "{actor} had the {thing}"),
    },
    "give": {
        "actor": (
            ("Who gave the {thing} away?", "Who gave the {thing} to {other}?"),
            "{actor} gave the {thing} to {other}",
        ),
        "other": (
            ("Who did {actor} give the {thing} to?", "Who got the {thing} from {actor}?"),
            "{other} got the {thing}",
        ),
        "thing": (("What did {actor} give to {other}?", "What did {other} get?"), "{other} got {a_thing}"),
    },
    "meet": {"other": (("Who did {actor} meet?", "Who did {actor} see there?"), "{actor} met {other}")},
    "eat": {"actor": (("Who ate the {thing}?", "What ate the {thing}?"), "{actor} ate the {thing}")},
    "share": {
        "other": (("Who did {actor} share with?",), "{actor} shared with {other}"),
        "thing": (("What did {actor} share?", "What did they share?"), "{actor} shared {a_thing}"),
    },
}
# what the answer is not a noun of the world for: who had it last, its color, how the hero felt
_HOLDER = ("Who has the {thing} now?", "Who had the {thing} at the end?")
_COLOR = ("What color was the {thing}?", "What was the color of the {thing}?")
_FEELING = ("How did {hero} feel?", "How did {hero} feel at the end?", "How was {hero} at the end?")
_HERO = ("What was the name of the {kind}?", "Who was the story about?")


@dataclass(frozen=True)
class Question:
    """A question with its true answer.

    Args:
        wordings: ways to ask it.
        answer: the answer as a sentence without its full stop.
        expected: what the answer must hold.
        choices: what could be answered.
    """

    wordings: tuple[str, ...]
    answer: str
    expected: tuple[tuple[str, ...], ...]
    choices: tuple[str, ...]


def questions(tale: Tale) -> list[Question]:
    """List what can be asked about a story whose text is complete.

    Args:
        tale: the story.

    Returns:
        Questions that have one true answer each, read from the story's world.
    """
    found = [
        _about_event(tale, event, role)
        for event in tale.world.history
        for role in _ASKED.get(event.kind, {})
        if getattr(event, role) is not None
    ]
    people = _people(tale)
    hero, thing = tale.hero, tale.thing
    holder = tale.world.holder_of.get(thing)
    if holder in people and tale.world.history[-1].kind == "give":
        found.append(_state(tale, _HOLDER, f"{holder} has the {thing}", holder, people))
    color = tale.world.color_of.get(thing)
    if color:
        found.append(_state(tale, _COLOR, f"The {thing} was {color}", color, COLORS.train))
        found.append(_yes_or_no(tale, color))
    feeling = tale.world.feeling_of[hero.name]
    found.append(_state(tale, _FEELING, f"{hero.name} was {feeling}", feeling, FEELINGS))
    found.append(_state(tale, _HERO, f"The story was about {hero.name}", hero.name, people))
    return found


def _about_event(tale: Tale, event: Event, role: str) -> Question:
    wordings, answer = _ASKED[event.kind][role]
    place = event.place or ""
    slots = {
        "actor": _definite(tale, event.actor),
        "thing": event.thing or "",
        "a_thing": a(event.thing) if event.thing else "",
        "other": _definite(tale, event.other or ""),
        "place": place,
        "at": at(place) if place else "",
    }
    wanted = str(getattr(event, role))
    sentence, asked = answer.format(**slots), tuple(wording.format(**slots) for wording in wordings)
    # whom the question names is not the answer: an answer that names them again does not choose between two
    people = [person for person in _people(tale) if person == wanted or not any(person in text for text in asked)]
    choices = tuple(people) if role in ("actor", "other") and len(people) > 1 else ()
    return Question(asked, sentence[0].upper() + sentence[1:], ((wanted,),), choices)


def _state(tale: Tale, wordings: tuple[str, ...], answer: str, wanted: str, choices: tuple[str, ...]) -> Question:
    slots = {"thing": tale.thing, "hero": tale.hero.name, "kind": tale.hero.kind}
    return Question(tuple(wording.format(**slots) for wording in wordings), answer, ((wanted,),), choices)


def _yes_or_no(tale: Tale, color: str) -> Question:
    thing = tale.thing
    asked = color if tale.dice.chance(0.5) else tale.dice.pick([other for other in COLORS.train if other != color])
    yes = asked == color
    answer = f"{'Yes' if yes else 'No'}, the {thing} was {color}"
    return Question((f"Was the {thing} {asked}?",), answer, (("yes" if yes else "no",), (color,)), ())


def _people(tale: Tale) -> tuple[str, ...]:
    return (tale.hero.name, tale.friend.name)


def _definite(tale: Tale, name: str) -> str:
    """Return a person's name as it is, an animal with its article."""
    return name if not name or name[0].isupper() else f"the {name}"
