"""Who and what takes part in an example, and which split a combination belongs to."""

from dataclasses import dataclass
from hashlib import blake2b

from growlm.data.example import Split
from growlm.tinyworld.dice import Dice, first_fitting
from growlm.tinyworld.lexicon import BOYS, GIRLS, LEXICON, MANY_NAMES, PLACES, THINGS, Words, listed

_TRAIN: tuple[Split, ...] = ("train",)
_TENTHS: tuple[Split, ...] = ("validation", "test", *(_TRAIN * 8))


def owner(*parts: str) -> Split:
    """Return the one split in which a combination may occur: eight tenths train, a tenth each for the others.

    Args:
        parts: the combination, such as ``("ball", "garden")``.

    Returns:
        Its split; the same on every machine.
    """
    return _TENTHS[blake2b("\n".join(parts).encode(), digest_size=2).digest()[0] % 10]


_HELD_OUT_SHARE = 0.5
_KNOWN_SHARE = 0.5
"""Of the new names; the others are made up."""
_SIMPLE = listed("b c d f g h j k l m n p r s t v w y z")
_ONSETS = (*_SIMPLE, *_SIMPLE, *listed("br ch cl dr fr gl gr kh kr ph qu sh sl st sv th tr zh"))
_VOWELS = (*listed("a e i o u") * 4, *listed("ai au ee ei ia ie io oa oo ou y"))
_CODAS = ("",) * 8 + listed("b ck d f k l ll m n nd ne nn r rd s sh ss st t th x y z")
_CONSONANTS = "bcdfghjklmnpqrstvwxz"
_BARE_SHARE = 0.2
"""Of made-up words that begin with a vowel."""
_LONG_SHARE = 0.3
"""Of made-up words that have one syllable more than they need."""


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

    Args:
        dice: the example's chance.
        split: the split that the example belongs to.
        hold_out: keep some words of the lexicon for validation and test, where every draw then takes a held-out word
            with probability one half; else every split draws from all words.
        new_names: share of names that are new: half of these are first names of many languages, half are made up, of
            two or three syllables. A new name belongs to one split, by its hash. Of things and places, a third of this
            share is made up. With new words, no two names and no two words of an example begin with the same three
            letters.
    """

    def __init__(self, dice: Dice, split: Split, hold_out: bool = True, new_names: float = 0.0) -> None:
        self.dice = dice
        self.split = split
        self.hold_out = hold_out
        self.new_names = new_names
        self._used: set[str] = set()
        self._beginnings: set[str] = set()

    def again(self) -> "Cast":
        """Return a cast of the same chance whose words are all unused but those that this one has used by now."""
        other = Cast(self.dice, self.split, self.hold_out, self.new_names)
        other._used |= self._used
        other._beginnings |= self._beginnings
        return other

    def word(self, words: Words) -> str:
        """Draw a word that this example has not used yet."""
        return first_fitting("word that the example has not used yet", lambda _: self._unused(self.peek(words)))

    def peek(self, words: Words) -> str:
        """Draw a word, whether this example has used it or not."""
        if not self.hold_out:
            return self.dice.pick(words.all)
        own = self.split != "train" and self.dice.chance(_HELD_OUT_SHARE)
        return self.dice.pick(words.own(self.split) if own else words.train)

    def words(self, words: Words, count: int) -> list[str]:
        """Draw several different words; with held-out words, at most two of them are such, for they are few."""
        if not self.hold_out:
            return [self.word(words) for _ in range(count)]
        held_out = min(count, 2)
        drawn = [self.word(words) for _ in range(held_out)]
        rest = [word for word in words.train if word not in self._used]
        drawn += self.dice.some(rest, count - held_out)
        self._used.update(drawn)
        return self.dice.shuffled(drawn)

    def noun(self, words: Words) -> str:
        """Draw a word for a thing or a place, now and then a made-up one."""
        if self.new_names and self.dice.chance(self.new_names / 3):
            return self.invent()
        return self.word(words)

    def invent(self) -> str:
        """Make a word up."""
        return first_fitting("made-up word", lambda _: self._unused(self._invent(1, "word")))

    def person(self, kind: str | None = None) -> Person:
        """Draw a person, of one kind if given."""
        kind = kind or self.dice.pick(("girl", "boy"))
        return Person(self.name(GIRLS if kind == "girl" else BOYS), kind)

    def name(self, names: Words) -> str:
        """Draw a name, a new one for their share."""
        if not self.new_names or not self.dice.chance(self.new_names):
            return self.word(names)
        if self.dice.chance(_KNOWN_SHARE):
            known = MANY_NAMES["girls" if names is GIRLS else "boys"]
            return first_fitting("name of this split", lambda _: self._unused(self._own(self.dice.pick(known), "name")))
        return first_fitting("made-up name", lambda _: self._unused(self._invent(2, "name")))

    def people(self, count: int) -> list[Person]:
        """Draw several different people; with held-out words, at most two of either kind have held-out names."""
        if not self.hold_out:
            return [self.person() for _ in range(count)]
        girls = sum(self.dice.chance(0.5) for _ in range(count))
        drawn = [Person(name, "girl") for name in self.words(GIRLS, girls)]
        drawn += [Person(name, "boy") for name in self.words(BOYS, count - girls)]
        return self.dice.shuffled(drawn)

    def thing_and_place(self, things: Words = THINGS) -> tuple[str, str]:
        """Draw a thing and a place whose combination is this split's own."""

        def fitting(_: int) -> tuple[str, str] | None:
            thing, place = self.peek(things), self.peek(PLACES)
            new = self.hold_out and (thing not in things.train or place not in PLACES.train)
            fits = (new or owner(thing, place) == self.split) and not {thing, place} & self._used
            return (thing, place) if fits else None

        drawn = first_fitting("thing and place that belong together", fitting)
        self._used.update(drawn)
        return drawn

    def _unused(self, word: str | None) -> str | None:
        if word is None or word in self._used or (self.new_names and word[:3] in self._beginnings):
            return None
        self._used.add(word)
        self._beginnings.add(word[:3])
        return word

    def _invent(self, least: int, sort: str) -> str | None:
        """Make up a word of ``least`` or one more syllables; None if it is another split's or a word of the world."""
        dice = self.dice
        syllables = [dice.pick(_ONSETS) + dice.pick(_VOWELS) for _ in range(least + dice.chance(_LONG_SHARE))]
        if dice.chance(_BARE_SHARE):
            syllables[0] = syllables[0].lstrip(_CONSONANTS)
        made = "".join(syllables) + dice.pick(_CODAS)
        if len(made) < 4 or made in LEXICON:
            return None
        return self._own(made.capitalize() if sort == "name" else made, sort)

    def _own(self, word: str, sort: str) -> str | None:
        """Return a new word if it is this split's, by its hash; else None."""
        return word if owner(sort, word.lower()) == self.split else None
