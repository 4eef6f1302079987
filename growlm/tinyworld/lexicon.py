"""The words of the world: people, things, places, animals, food and how they are written.

Every one is frequent in TinyStories, the held-out ones too: what a test holds out is the skill's use of a word, not the
base's knowledge of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any

from growlm.data.example import Split


def read_texts(name: str) -> Any:
    """Read a file of texts of this package.

    Args:
        name: the file without ``.yaml``.

    Returns:
        Its content.
    """
    import yaml

    return yaml.safe_load(resources.files("growlm.tinyworld").joinpath(f"{name}.yaml").read_text(encoding="utf-8"))


def listed(text: str) -> tuple[str, ...]:
    """Split a text into its words."""
    return tuple(text.split())


@dataclass(frozen=True)
class Words:
    """Words of one sort: those met in training, and those kept for validation and for the test.

    Args:
        train: words that occur in every split.
        validation: words that occur in validation only.
        test: words that occur in the test only.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """The words of all splits."""
        return (*self.train, *self.validation, *self.test)

    def own(self, split: Split) -> tuple[str, ...]:
        """Return the words that no other split introduces; those met in training for the training split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]

    def __iter__(self) -> Iterator[str]:
        return iter(self.all)

    def __contains__(self, word: object) -> bool:
        return word in self.train or word in self.validation or word in self.test


def _words(train: str, validation: str, test: str) -> Words:
    return Words(listed(train), listed(validation), listed(test))


THINGS = _words(
    "ball book doll truck boat hat flower stick bike train balloon key blanket leaf button rope cup stone letter "
    "bell coat spoon robot whistle plane shell ring map brush rocket puzzle coin scarf crown drum mirror necklace "
    "towel crayon pillow sword flag medal flute pencil scooter gem purse bracelet",
    "kite lamp horn belt guitar",
    "wagon wand camera umbrella candle clock",
)
PLACES = _words(
    "park garden forest store kitchen hill yard castle beach lake river farm school shop zoo mountain barn bridge "
    "market playground bedroom tent island",
    "field pool garage",
    "pond village cave meadow",
)
CONTAINERS = _words("box bag pot jar basket bucket pocket closet chest", "drawer sack", "barrel cupboard fridge")
ANIMALS = _words(
    "bird dog cat bear fish rabbit frog mouse squirrel duck lion butterfly fox owl bee puppy dragon monkey cow ant "
    "snake horse crab pig kitten spider turtle worm whale dolphin lizard mole chicken",
    "wolf bunny deer pigeon",
    "elephant sheep shark goat tiger dinosaur",
)
FOODS = _words(
    "cake apple candy orange soup cheese milk bread honey cookie carrot pizza egg sandwich banana pie popcorn rice "
    "muffin strawberry",
    "juice toast pumpkin",
    "salad pear lemon corn",
)
MANY = _words(
    "birds cars books cookies dolls apples rocks dogs ducks stars balloons carrots nuts boats cats trucks eggs leaves "
    "butterflies trains bees shells hats shoes cows",
    "berries coins feathers",
    "flowers sticks bananas crayons",
)
"""Things in the plural, to be liked or counted."""
DISHES = _words(
    "cake candy soup cheese milk bread honey pizza pie popcorn rice",
    "juice toast pumpkin",
    "salad corn lemon",
)
"""Food that one can like best without an article."""
COLORS = _words("red blue green yellow white brown orange", "purple", "pink black")
GAMES = _words(
    "sing dance draw read run jump climb paint cook play hop count slide",
    "write bake",
    "swim build skip",
)
"""What a person likes to do."""

SIZES = ("big", "small", "little", "shiny", "pretty", "new", "old", "soft", "special", "nice")

MASS = frozenset(listed("candy soup cheese milk bread honey rice popcorn juice toast corn salad"))
"""Food that is not counted."""

SOUNDS = {
    "dog": "woof",
    "cat": "meow",
    "duck": "quack",
    "lion": "roar",
    "bird": "tweet",
    "bee": "buzz",
    "pig": "oink",
    "frog": "ribbit",
    "mouse": "squeak",
}
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

_AT = frozenset(
    listed("park garden forest kitchen yard castle barn market bedroom tent village cave meadow field garage")
)
_ON = frozenset(listed("hill mountain bridge island playground"))
_BY = frozenset(listed("lake river pond pool"))


def a(noun: str) -> str:
    """Return a noun with its indefinite article, ``some`` for food that is not counted."""
    if noun in MASS:
        return f"some {noun}"
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def at(place: str) -> str:
    """Return where: ``in the park``, ``on the hill``, ``by the lake``, ``at the zoo``."""
    word = "in" if place in _AT else "on" if place in _ON else "by" if place in _BY else "at"
    return f"{word} the {place}"


GIRLS = Words(
    train=listed(
        "Lily Sue Mia Lucy Anna Sara Amy Sally Jane Lila Sarah Molly Jill Emma Mary Bella Mimi Jen Lisa Emily Luna "
        "Ella Polly Ann Mandy Susie Millie Kim Tina Lulu Kate Betty"
    ),
    validation=("Jenny", "Maria", "Annie", "Rosie"),
    test=("Alice", "Lola", "Ellie", "Sophie", "Clara"),
)
BOYS = Words(
    train=listed(
        "Tim Tom Ben Max Sam Timmy Bob Jack John Joe Tommy Billy Jimmy Benny Leo Jim Sammy Bobby Jerry Fred Andy "
        "Pete Dave Danny Alex Toby Bill Freddy Mike Ted"
    ),
    validation=("Jake", "Johnny", "Finn", "James"),
    test=("Peter", "Charlie", "Henry", "Paul", "George"),
)

MANY_NAMES = {kind: listed(names) for kind, names in read_texts("names").items()}
"""First names of many languages, of girls and of boys; those of a split are found by their hash."""

PETS = Words(
    train=("Spot", "Buddy", "Whiskers", "Rex", "Coco", "Daisy", "Penny", "Ollie"),
    validation=("Brownie", "Fin"),
    test=("Poppy", "Momo"),
)

LEXICON = frozenset(
    word.lower()
    for words in (GIRLS, BOYS, PETS, THINGS, PLACES, CONTAINERS, ANIMALS, FOODS, MANY, DISHES, COLORS, GAMES)
    for word in words
)
"""All words of the lists, in small letters."""

_ONES = listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def in_words(number: int) -> str:
    """Write a number from 0 to 999 in words: ``forty-two``, ``three hundred and five``."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")
    hundreds, rest = divmod(number, 100)
    return f"{_ONES[hundreds]} hundred" + (f" and {in_words(rest)}" if rest else "")
