"""A story in the making: its world, its people and the sentences told so far."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from growlm.tinyworld.cast import Cast, Person
from growlm.tinyworld.dice import Dice
from growlm.tinyworld.lexicon import a, at
from growlm.tinyworld.world import World


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
        sentences: what has been told.
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
        """The story as told so far."""
        return " ".join(self.sentences)

    def tell(self, templates: Sequence[str], **slots: str) -> None:
        """Tells one of several wordings of a sentence."""
        self.sentences.append(self.dice.pick(templates).format(**self._slots, **slots))

    def maybe(self, probability: float, templates: Sequence[str], **slots: str) -> None:
        """Tells a sentence or leaves it out."""
        if self.dice.chance(probability):
            self.tell(templates, **slots)

    def feel(self, *feelings: str) -> None:
        """Lets the hero end with one of some feelings, and tells it."""
        feeling = self.dice.pick(feelings)
        self.world.feel(self.hero.name, feeling)
        self.tell(
            ("{hero} was very {feeling}.", "{hero} felt {feeling}.", "Now {hero} was {feeling}."), feeling=feeling
        )
