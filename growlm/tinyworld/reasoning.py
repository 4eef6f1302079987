"""Problems whose answer follows from the facts: comparison, family, rules, counting.

An answer puts facts that are said in several ways into one form, then follows them to what is asked. Each step
continues the last one or takes the next fact in order, for a small model copies well and searches badly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from re import findall

from growlm.tinyworld.cast import Cast, Person
from growlm.tinyworld.lexicon import ANIMALS, NUMBERS, THINGS, a, listed
from growlm.tinyworld.problem import Problem

WEATHER = (
    "it rains",
    "it snows",
    "it is late",
    "it is early",
    "it is sunny",
    "it is windy",
    "it is dark",
    "it is cold",
    "it is warm",
    "it is hot",
)
DOINGS = listed("sings runs jumps laughs cries smiles plays walks helps dances reads sleeps swims cooks waits")
_DID = listed("ran jumped sang laughed cried smiled danced slept played walked")


def reasoning_problem(cast: Cast, difficulty: float) -> Problem:
    """Draw a problem of one of the four sorts.

    Args:
        cast: who and what takes part.
        difficulty: from 0 to 1; the higher, the longer the chains.

    Returns:
        The problem.
    """
    return cast.dice.pick(reasoning_problems(cast, difficulty))


def reasoning_questions(cast: Cast, difficulty: float, count: int) -> list[Problem]:
    """Draw facts and questions about them.

    Args:
        cast: who and what takes part.
        difficulty: from 0 to 1.
        count: greatest number of questions.

    Returns:
        The problems, all with the same facts, no question twice.
    """
    asked = {problem.question: problem for problem in cast.dice.shuffled(reasoning_problems(cast, difficulty))}
    return list(asked.values())[:count]


def reasoning_problems(cast: Cast, difficulty: float) -> list[Problem]:
    """Draw facts of one of the four sorts, and list what is asked about them.

    Args:
        cast: who and what takes part.
        difficulty: from 0 to 1.

    Returns:
        The problems, all with the same facts.
    """
    dice = cast.dice
    sort = dice.number(0, 3)
    if sort == 0:
        names = [person.name for person in cast.people(dice.number(3, 3 + round(3 * difficulty)))]
        chain = draw_chain(cast, names)
        return [problem for _ in names for problem in (ask_most(chain), ask_pair(cast, chain))]
    if sort == 1:
        return kinship_problems(cast, draw_family(cast, dice.number(1, 1 + round(2 * difficulty))))
    if sort == 2:
        return [rule_problem(cast, dice.number(1, 1 + round(2 * difficulty)))]
    count = dice.number(3, 4 + round(2 * difficulty))
    return count_doers(cast, count) if dice.chance(0.5) else [count_owned(cast, count)]


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
        start: the one who is less in the first fact.
    """

    dimension: Dimension
    names: tuple[str, ...]
    facts: tuple[str, ...]
    start: str

    def climb(self, name: str) -> str:
        """Name somebody and all who are more, one after the other: ``Sue, then Tim, then Zorvik.``."""
        return _then(self.names[self.names.index(name) :: -1])

    @property
    def notes(self) -> str:
        """All facts in the form of ``climb``, in their order: ``Tim, then Zorvik. Sue, then Tim.``."""
        pairs = sorted(pairwise(self.names[::-1]), key=lambda pair: _place(self.facts, pair))
        return " ".join(map(_then, pairs))


def draw_chain(cast: Cast, names: Sequence[str]) -> Chain:
    """Put people in an order and compare neighbors, in a random order and direction.

    Args:
        cast: for its chance.
        names: the people.

    Returns:
        The chain.
    """
    dice = cast.dice
    dimension, order = dice.pick(DIMENSIONS), dice.shuffled(names)
    pairs = dice.shuffled(list(pairwise(order)))
    facts = tuple(
        f"{more} is {dimension.more} than {less}."
        if dice.chance(0.5)
        else f"{less} is not as {dimension.adjective} as {more}."
        for more, less in pairs
    )
    return Chain(dimension, tuple(order), facts, pairs[0][1])


def ask_most(chain: Chain) -> Problem:
    """Ask who is first in the order; the work climbs from the first fact."""
    most = chain.dimension.most
    choices = tuple(f"{name} is the {most}" for name in chain.names)
    return Problem(
        chain.facts, f"Who is the {most}?", choices[0], chain.climb(chain.start), choices, "most", chain.notes
    )


def ask_pair(cast: Cast, chain: Chain) -> Problem:
    """Ask which of two is more, neighbors or not; the work climbs from the one named first and may pass the other."""
    first, second = sorted(cast.dice.some(range(len(chain.names)), 2))
    names = cast.dice.shuffled((chain.names[first], chain.names[second]))
    more = chain.dimension.more
    choices = tuple(f"{name} is {more}" for name in names)
    final = f"{chain.names[first]} is {more}"
    question = f"Who is {more}, {names[0]} or {names[1]}?"
    return Problem(chain.facts, question, final, chain.climb(names[0]), choices, "more of two", chain.notes)


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
        """List who is whose parent: pairs of parent and child."""
        return [
            (self.elder, self.parent),
            (self.elder, self.sibling),
            *((self.parent, child) for child in self.children),
        ]


_WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "parent": {"girl": ("mom", "mother"), "boy": ("dad", "father")},
    "child": {"girl": ("daughter",), "boy": ("son",)},
    "elder": {"girl": ("grandma", "grandmother"), "boy": ("grandpa", "grandfather")},
    "sibling": {"girl": ("sister",), "boy": ("brother",)},
    "uncle": {"girl": ("aunt",), "boy": ("uncle",)},
}


def draw_family(cast: Cast, num_children: int) -> Family:
    """Draw a family with a number of grandchildren."""
    people = cast.people(3 + num_children)
    return Family(people[0], people[1], people[2], tuple(people[3:]))


def kinship_problems(cast: Cast, family: Family) -> list[Problem]:
    """Ask for relations that follow; the work goes from child to parent, for uncles and sisters to both children, too.

    Args:
        cast: for its chance.
        family: the family.

    Returns:
        Problems whose facts name parents and children only, one for each relation of each child.
    """
    facts = tuple(cast.dice.shuffled([_parenthood(cast, parent, child) for parent, child in family.parents()]))
    elder, parent, sibling = family.elder, family.parent, family.sibling
    people = (elder, parent, sibling, *family.children)
    pairs = sorted(((one.name, other.name) for one, other in family.parents()), key=lambda pair: _place(facts, pair))
    notes = " ".join(f"{_childhood(one, other)} {one} has {other}." for one, other in pairs)
    siblings = f"{elder.name} has {parent.name} and {sibling.name}."
    problems: list[Problem] = []
    for child in family.children:
        up = [_childhood(parent.name, child.name), _childhood(elder.name, parent.name)]
        for relation, right, of, work in (
            ("elder", elder, child, up),
            ("uncle", sibling, child, [*up, siblings]),
            ("sibling", sibling, parent, [up[1], siblings]),
        ):
            word = cast.dice.pick(_WORDS[relation][right.kind])
            choices = tuple(f"{person.name} is the {word} of {of.name}" for person in people if person is not of)
            final = f"{right.name} is the {word} of {of.name}"
            question = f"Who is the {word} of {of.name}?"
            problems.append(Problem(facts, question, final, " ".join(work), choices, f"family {relation}", notes))
    return problems


def rule_problem(cast: Cast, length: int) -> Problem:
    """Draw rules of which one chain fires, and ask for its end.

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
    chains = [_causes(weathers[0], names, doings[:length]), _causes(weathers[1], names, doings[length:])]
    facts = dice.shuffled([f"If {cause}, {effect}." for chain in chains for cause, effect in pairwise(chain)])
    facts.append(f"Today {weathers[0]}.")
    last = names[-1]
    work = " ".join(f"If {cause}, {effect}." for cause, effect in pairwise(chains[0]))
    choices = tuple(f"{last} {doing}" for doing in DOINGS)
    return Problem(tuple(facts), f"What does {last} do?", chains[0][-1], work, choices, "rules")


def count_doers(cast: Cast, num_people: int) -> list[Problem]:
    """Ask how many of some people did each of two things; the work goes through them all."""
    dice = cast.dice
    done = dice.some(_DID, 2)
    did = {person.name: dice.pick(done) for person in cast.people(num_people)}
    items = {f"{name} {deed}": deed for name, deed in did.items()}
    facts = tuple(f"{item}." for item in items)
    return [
        _counted(
            facts,
            f"How many {asked}?",
            {item: deed == asked for item, deed in items.items()},
            f"{{}} {asked}",
            "count doers",
        )
        for asked in done
    ]


def count_owned(cast: Cast, num_things: int) -> Problem:
    """Ask how many animals somebody has among animals and things; the work goes through them all."""
    dice = cast.dice
    num_animals = dice.number(2, num_things - 1)
    animals = cast.words(ANIMALS, num_animals)
    owned = dice.shuffled([*animals, *cast.words(THINGS, num_things - num_animals)])
    name = cast.person().name
    facts = tuple(f"{name} has {a(noun)}." for noun in owned)
    items = {a(noun): noun in animals for noun in owned}
    return _counted(facts, f"How many animals does {name} have?", items, f"{name} has {{}} animals", "count owned")


def _counted(facts: tuple[str, ...], question: str, items: Mapping[str, bool], final: str, sort: str) -> Problem:
    """Make a problem whose work goes through items and counts some: ``Tim ran, one. Sue sang. Mia ran, two.``."""
    numbers = accumulate(items.values())
    work = [
        f"{item}, {NUMBERS[n]}." if counts else f"{item}."
        for (item, counts), n in zip(items.items(), numbers, strict=True)
    ]
    choices = tuple(_sentence(final.format(NUMBERS[value])) for value in range(len(facts) + 1))
    return Problem(facts, question, choices[sum(items.values())], " ".join(work), choices, sort)


def _parenthood(cast: Cast, parent: Person, child: Person) -> str:
    if cast.dice.chance(0.5):
        return f"{parent.name} is the {cast.dice.pick(_WORDS['parent'][parent.kind])} of {child.name}."
    return f"{child.name} is the {cast.dice.pick(_WORDS['child'][child.kind])} of {parent.name}."


def _then(names: Sequence[str]) -> str:
    return f"{', then '.join(names)}."


def _childhood(parent: str, child: str) -> str:
    return f"{child} is the child of {parent}."


def _place(facts: Sequence[str], pair: tuple[str, str]) -> int:
    """Find the fact that is about two people."""
    return next(number for number, fact in enumerate(facts) if set(pair) <= set(findall(r"\w+", fact)))


def _causes(weather: str, names: Sequence[str], doings: Sequence[str]) -> list[str]:
    """Return the weather and what each person does in turn."""
    return [weather, *(f"{name} {doing}" for name, doing in zip(names, doings, strict=True))]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
