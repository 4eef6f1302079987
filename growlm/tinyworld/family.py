"""Families: a tree of three generations and what people in it are to each other."""

from dataclasses import dataclass

from growlm.tinyworld.cast import Cast, Person
from growlm.tinyworld.problem import Problem


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
