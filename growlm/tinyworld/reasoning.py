"""Problems whose answer follows from the facts: comparison, family, rules, counting."""

from dataclasses import dataclass
from itertools import pairwise

from growlm.tinyworld.cast import Cast, Person
from growlm.tinyworld.lexicon import ANIMALS, NUMBERS, THINGS, a
from growlm.tinyworld.problem import Problem


@dataclass(frozen=True)
class Dimension:
    """Something in which people differ.

    Args:
        adjective: the adjective.
        more: its comparative.
        most: its superlative.
    """

    adjective: str
    more: str
    most: str


DIMENSIONS = (
    Dimension("tall", "taller", "tallest"),
    Dimension("fast", "faster", "fastest"),
    Dimension("strong", "stronger", "strongest"),
    Dimension("big", "bigger", "biggest"),
)


@dataclass(frozen=True)
class Chain:
    """People in the order of a dimension.

    Args:
        dimension: the dimension.
        names: the people, the most first.
        facts: sentences from which the order follows.
    """

    dimension: Dimension
    names: tuple[str, ...]
    facts: tuple[str, ...]


def draw_chain(cast: Cast, names: list[str]) -> Chain:
    """Puts people in an order and tells it by comparing neighbors, in a random order and direction.

    Args:
        cast: for its chance.
        names: the people.

    Returns:
        The chain.
    """
    dice = cast.dice
    dimension, order = dice.pick(DIMENSIONS), dice.shuffled(names)
    facts = []
    for first, second in pairwise(order):
        if dice.chance(0.5):
            facts.append(f"{first} is {dimension.more} than {second}.")
        else:
            facts.append(f"{second} is not as {dimension.adjective} as {first}.")
    return Chain(dimension, tuple(order), tuple(dice.shuffled(facts)))


def ask_most(chain: Chain) -> Problem:
    """Asks who is first in the order."""
    most = chain.dimension.most
    choices = tuple(f"{name} is the {most}" for name in chain.names)
    return Problem(chain.facts, f"Who is the {most}?", f"{choices[0]}.", choices[0], choices)


def ask_pair(cast: Cast, chain: Chain) -> Problem:
    """Asks which of two is more, neighbors or not."""
    first, second = sorted(cast.dice.some(range(len(chain.names)), 2))
    names = cast.dice.shuffled((chain.names[first], chain.names[second]))
    more = chain.dimension.more
    wanted = f"{more} one is {chain.names[first]}"
    other = f"{more} one is {chain.names[second]}"
    return Problem(chain.facts, f"Who is {more}, {names[0]} or {names[1]}?", f"The {wanted}.", wanted, (wanted, other))


@dataclass(frozen=True)
class Family:
    """A grandparent, two of their children, and the children of one of these.

    Args:
        elder: the grandparent.
        parent: one child.
        sibling: the other child.
        children: the children of ``parent``.
    """

    elder: Person
    parent: Person
    sibling: Person
    children: tuple[Person, ...]

    def parents(self) -> list[tuple[Person, Person]]:
        """Lists who is whose parent: pairs of parent and child."""
        return [
            (self.elder, self.parent),
            (self.elder, self.sibling),
            *((self.parent, child) for child in self.children),
        ]


_WORDS = {
    "parent": {"girl": "mom", "boy": "dad"},
    "child": {"girl": "daughter", "boy": "son"},
    "elder": {"girl": "grandma", "boy": "grandpa"},
    "sibling": {"girl": "sister", "boy": "brother"},
    "uncle": {"girl": "aunt", "boy": "uncle"},
}


def draw_family(cast: Cast, num_children: int) -> Family:
    """Draws a family with so many grandchildren."""
    people = cast.people(3 + num_children)
    return Family(people[0], people[1], people[2], tuple(people[3:]))


def kinship_problem(cast: Cast, family: Family) -> Problem:
    """Asks for a relation that follows from those told.

    Args:
        cast: for its chance.
        family: the family.

    Returns:
        A problem whose facts name parents and children only.
    """
    dice = cast.dice
    facts = dice.shuffled([_told(cast, parent, child) for parent, child in family.parents()])
    child = dice.pick(family.children)
    asked = {
        "elder": (family.elder, child),
        "uncle": (family.sibling, child),
        "sibling": (family.sibling, family.parent),
    }
    relation = dice.pick(("elder", "elder", "uncle", "uncle", "sibling"))
    right, of = asked[relation]
    word = _WORDS[relation][right.kind]
    people = (family.elder, family.parent, family.sibling, *family.children)
    choices = tuple(f"{person.name} is the {word} of {of.name}" for person in people if person is not of)
    wanted = f"{right.name} is the {word} of {of.name}"
    return Problem(tuple(facts), f"Who is the {word} of {of.name}?", f"{wanted}.", wanted, choices)


def _told(cast: Cast, parent: Person, child: Person) -> str:
    if cast.dice.chance(0.5):
        return f"{parent.name} is the {_WORDS['parent'][parent.kind]} of {child.name}."
    return f"{child.name} is the {_WORDS['child'][child.kind]} of {parent.name}."


WEATHER = ("it rains", "it is late", "it is sunny", "it is dark", "it is cold", "it is hot")
DOINGS = ("sings", "runs", "jumps", "laughs", "cries", "smiles", "plays", "walks", "helps")


def rule_problem(cast: Cast, length: int) -> Problem:
    """Draws rules of which one chain fires, and asks for its end.

    Two chains of rules begin with different weather; the sentences are shuffled, and only one weather comes true.

    Args:
        cast: who takes part.
        length: rules in each chain.

    Returns:
        The problem.
    """
    dice = cast.dice
    names = [person.name for person in cast.people(length)]
    weathers = dice.some(WEATHER, 2)
    doings = dice.some(DOINGS, 2 * length)
    chains = [_chain(weathers[0], names, doings[:length]), _chain(weathers[1], names, doings[length:])]
    facts = dice.shuffled([rule for chain in chains for rule in chain])
    facts.append(f"Today {weathers[0]}.")
    last = names[-1]
    choices = tuple(f"So {last} {doing}" for doing in DOINGS)
    wanted = f"So {last} {doings[length - 1]}"
    return Problem(tuple(facts), f"What does {last} do?", f"{wanted}.", wanted, choices)


def _chain(weather: str, names: list[str], doings: list[str]) -> list[str]:
    """Gives the rules from the weather to what the last person does."""
    causes = [weather, *(f"{name} {doing}" for name, doing in zip(names, doings, strict=True))]
    return [f"If {cause}, {effect}." for cause, effect in pairwise(causes)]


_DID = ("ran", "jumped", "sang", "laughed", "cried", "smiled")
_MOST = 5


def count_doers(cast: Cast, num_people: int) -> Problem:
    """Tells what each of some people did and asks how many did one of the things."""
    dice = cast.dice
    asked, other = dice.some(_DID, 2)
    did = [asked if dice.chance(0.5) else other for _ in range(num_people)]
    facts = tuple(f"{person.name} {done}." for person, done in zip(cast.people(num_people), did, strict=True))
    return _counted(facts, f"How many {asked}?", did.count(asked))


def count_owned(cast: Cast, num_things: int) -> Problem:
    """Tells what somebody has, animals and things mixed, and asks how many of one sort."""
    dice = cast.dice
    animals = dice.number(1, min(num_things - 1, _MOST))
    owned = [*cast.words(ANIMALS, animals), *cast.words(THINGS, num_things - animals)]
    name = cast.person().name
    facts = tuple(f"{name} has {a(noun)}." for noun in dice.shuffled(owned))
    return _counted(facts, f"How many animals does {name} have?", animals)


def _counted(facts: tuple[str, ...], question: str, number: int) -> Problem:
    choices = tuple(f"number is {NUMBERS[value]}" for value in range(len(facts) + 1))
    return Problem(facts, question, f"The {choices[number]}.", choices[number], choices)


def reasoning_problem(cast: Cast, difficulty: float) -> Problem:
    """Draws a problem of one of the four sorts.

    Args:
        cast: who and what takes part.
        difficulty: from 0 to 1; the higher, the longer the chains.

    Returns:
        The problem.
    """
    dice = cast.dice
    sort = dice.number(0, 3)
    if sort == 0:
        names = [person.name for person in cast.people(dice.number(3, 3 + round(3 * difficulty)))]
        chain = draw_chain(cast, names)
        return ask_most(chain) if dice.chance(0.5) else ask_pair(cast, chain)
    if sort == 1:
        return kinship_problem(cast, draw_family(cast, dice.number(1, 1 + round(2 * difficulty))))
    if sort == 2:
        return rule_problem(cast, dice.number(1, 1 + round(2 * difficulty)))
    count = dice.number(3, 4 + round(2 * difficulty))
    return count_doers(cast, count) if dice.chance(0.5) else count_owned(cast, count)
