"""If-then rules: what follows from the weather, one person's doing from another's."""

from itertools import pairwise

from growlm.tinyworld.cast import Cast
from growlm.tinyworld.problem import Problem

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
