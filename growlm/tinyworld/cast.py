"""Who and what takes part in an example, and which split a combination belongs to."""

from dataclasses import dataclass
from hashlib import blake2b

from growlm.data.example import Split
from growlm.tinyworld.dice import Dice, first_fitting
from growlm.tinyworld.lexicon import BOYS, GIRLS, PLACES, THINGS, Words

_TRAIN: tuple[Split, ...] = ("train",)
_TENTHS: tuple[Split, ...] = ("validation", "test", *(_TRAIN * 8))


def owner(*parts: str) -> Split:
    """Gives the one split in which a combination may occur: eight tenths train, a tenth each for the others.

    Args:
        parts: the combination, such as ``("ball", "garden")``.

    Returns:
        Its split; the same on every machine.
    """
    return _TENTHS[blake2b("\n".join(parts).encode(), digest_size=2).digest()[0] % 10]


_HELD_OUT_SHARE = 0.5


@dataclass(frozen=True)
class Person:
    """Somebody with a name.

    Args:
        name: the name.
        kind: ``"girl"`` or ``"boy"``.
    """

    name: str
    kind: str

    @property
    def he(self) -> str:
        """The pronoun of the subject."""
        return "she" if self.kind == "girl" else "he"

    @property
    def him(self) -> str:
        """The pronoun of the object."""
        return "her" if self.kind == "girl" else "him"

    @property
    def his(self) -> str:
        """The pronoun of possession."""
        return "her" if self.kind == "girl" else "his"


class Cast:
    """Draws names and words for one example, none of them twice.

    In validation and test every draw takes a held-out word with probability one half, else a word that training has
    met, and then in a combination that it has not.

    Args:
        dice: the example's chance.
        split: the split that the example belongs to.
    """

    def __init__(self, dice: Dice, split: Split) -> None:
        self.dice = dice
        self.split = split
        self._used: set[str] = set()

    def word(self, words: Words) -> str:
        """Draws a word that this example has not used yet."""
        word = first_fitting("word that the example has not used yet", lambda _: self._unused(words))
        self._used.add(word)
        return word

    def words(self, words: Words, count: int) -> list[str]:
        """Draws so many different words; held-out ones run out, so only the first few may be such."""
        held_out = min(count, 2)
        drawn = [self.word(words) for _ in range(held_out)]
        rest = [word for word in words.train if word not in self._used]
        drawn += self.dice.some(rest, count - held_out)
        self._used.update(drawn)
        return self.dice.shuffled(drawn)

    def person(self, kind: str | None = None) -> Person:
        """Draws a person, of one kind if given."""
        kind = kind or self.dice.pick(("girl", "boy"))
        return Person(self.word(GIRLS if kind == "girl" else BOYS), kind)

    def people(self, count: int) -> list[Person]:
        """Draws so many different people; at most two of either kind have held-out names."""
        girls = sum(self.dice.chance(0.5) for _ in range(count))
        drawn = [Person(name, "girl") for name in self.words(GIRLS, girls)]
        drawn += [Person(name, "boy") for name in self.words(BOYS, count - girls)]
        return self.dice.shuffled(drawn)

    def thing_and_place(self, things: Words = THINGS) -> tuple[str, str]:
        """Draws a thing and a place whose combination is this split's own."""

        def fitting(_: int) -> tuple[str, str] | None:
            thing, place = self._peek(things), self._peek(PLACES)
            new = thing not in things.train or place not in PLACES.train
            fits = (new or owner(thing, place) == self.split) and not {thing, place} & self._used
            return (thing, place) if fits else None

        drawn = first_fitting("thing and place that belong together", fitting)
        self._used.update(drawn)
        return drawn

    def _unused(self, words: Words) -> str | None:
        word = self._peek(words)
        return None if word in self._used else word

    def _peek(self, words: Words) -> str:
        own = self.split != "train" and self.dice.chance(_HELD_OUT_SHARE)
        return self.dice.pick(words.own(self.split) if own else words.train)
