"""Composites: skills that need several others at once, to test whether what was learned apart combines.

The table at the end is all there is to one: its parts, what it asks, and how an example is made.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import ClassVar

from growlm.data.example import Example, Message, Split
from growlm.errors import GrowlmError
from growlm.skills.procedural import (
    EDITION,
    LONGEST_ANSWER,
    check_counts,
    check_difficulty,
    check_edition,
    draw_one,
    new_cast,
    words_said,
)
from growlm.skills.skill import Skill
from growlm.tinyworld.arithmetic import (
    Sum,
    digits_problem,
    draw_sum,
    has_problem,
    largest,
    ledger_problem,
    sum_problem,
)
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.dice import Dice, first_fitting
from growlm.tinyworld.instructions import Instruction, command_problem, draw_instruction
from growlm.tinyworld.lexicon import MANY, THINGS
from growlm.tinyworld.memory import Scene, at, memory_problem, memory_problems, play_scene
from growlm.tinyworld.problem import TOGETHER, Problem, both, in_conversation, mixed, turn
from growlm.tinyworld.program import write_program
from growlm.tinyworld.reasoning import Chain, ask_most, draw_chain, reasoning_problem

Make = Callable[[Cast, float], list[Message]]
"""From a cast and a difficulty to one conversation, of which the last turn is scored."""


class Composite(Skill):
    """A skill that needs several others at once; for testing only.

    Args:
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0, the easiest, to 1, as that of its parts.
        edition: of the examples; 2 is the only one that this version makes.

    Attributes:
        name: the composite's name.
        parts: names of the skills that an example needs, all of them.
    """

    metric = "final_answer"
    max_answer_tokens = LONGEST_ANSWER
    name: ClassVar[str]
    parts: ClassVar[tuple[str, ...]]
    make: ClassVar[Make]

    def __init__(
        self,
        num_validation: int = 200,
        num_test: int = 200,
        seed: int = 0,
        difficulty: float = 0.5,
        edition: int = EDITION,
    ) -> None:
        self.counts: dict[Split, int] = {"validation": num_validation, "test": num_test}
        self.seed = seed
        self.difficulty = difficulty
        check_counts(self.counts)
        check_difficulty(difficulty)
        check_edition(self.name, edition)

    def examples(self, split: Split) -> Iterator[Example]:
        """Yield the split's examples.

        Raises:
            GrowlmError: for the training split, which there is none of.
        """
        if split not in self.counts:
            raise GrowlmError(
                f"skill {self.name!r} tests {' and '.join(self.parts)} together and has no training split; train those"
            )
        make = type(self).make
        # there is no training split to keep clear of: the test takes all that validation does not
        owned: tuple[Split, ...] = ("validation",) if split == "validation" else ("test", "train")
        for number in range(self.counts[split]):
            messages = draw_one(
                (self.seed, self.name),
                split,
                number,
                lambda cast: make(cast, self.difficulty),
                words_said,
                owned,
                cast=new_cast,
            )
            yield Example(f"{self.name}/{split}/{number}", messages=tuple(messages))


def _memory_arithmetic(cast: Cast, difficulty: float) -> list[Message]:
    dice, limit = cast.dice, largest(difficulty)
    if dice.chance(TOGETHER):
        return both(cast, memory_problem(cast, difficulty), sum_problem(cast, limit))
    return turn(ledger_problem(cast, limit, 2 + round(difficulty), dice.number(1, 1 + round(2 * difficulty))))


def _memory_reasoning(cast: Cast, difficulty: float) -> list[Message]:
    dice = cast.dice
    scene = play_scene(cast, 3, 2, dice.number(1, 2 + round(4 * difficulty)), 0.2 * difficulty)
    chain = draw_chain(cast, scene.people)
    if dice.chance(TOGETHER):
        return both(cast, dice.pick(dice.pick(memory_problems(scene))), ask_most(chain))
    return turn(_where_is_the_most(cast, scene, chain))


def _where_is_the_most(cast: Cast, scene: Scene, chain: Chain) -> Problem:
    name = chain.names[0]
    facts = mixed(cast, scene.sentences, chain.facts)
    choices = tuple(f"{name} is {at(place)}" for place in scene.places)
    final = f"{name} is {at(scene.world.place_of[name])}"
    question = f"Where is the {chain.dimension.most}?"
    return Problem(facts, question, final, chain.climb(chain.start), choices)


def _memory_commands(cast: Cast, difficulty: float) -> list[Message]:
    dice = cast.dice
    if dice.chance(TOGETHER):
        command = command_problem(dice, draw_instruction(dice, difficulty))
        return both(cast, memory_problem(cast, difficulty), command)
    return turn(_written_problem(cast, 0.5 * difficulty, dice.number(0, round(2 * difficulty))))


def _written_problem(cast: Cast, difficulty: float, num_swaps: int) -> Problem:
    dice = cast.dice
    names = [person.name for person in cast.people(3)]
    things = cast.words(THINGS, 3)

    def different(_: int) -> dict[str, Instruction] | None:
        drawn = {thing: draw_instruction(dice, difficulty) for thing in things}
        return drawn if len({command.meaning() for command in drawn.values()}) == 3 else None

    commands = first_fitting("three different commands", different)
    facts = dice.shuffled([f"The {thing} says: {command.text}." for thing, command in commands.items()])
    owns = dict(zip(names, things, strict=True))
    facts += [f"{name} took the {thing}." for name, thing in owns.items()]
    for _ in range(num_swaps):
        first, second = dice.some(names, 2)
        facts.append(f"{first} gave the {owns[first]} to {second}. {second} gave the {owns[second]} to {first}.")
        owns[first], owns[second] = owns[second], owns[first]
    asked = dice.pick(names)
    written = command_problem(dice, commands[owns[asked]])
    work = f"{asked} has the {owns[asked]}. {written.work}"
    return Problem(tuple(facts), f"Robot, do what the thing that {asked} has says!", written.final, work)


def _reasoning_arithmetic(cast: Cast, difficulty: float) -> list[Message]:
    limit = largest(difficulty)
    if cast.dice.chance(TOGETHER):
        return both(cast, reasoning_problem(cast, difficulty), sum_problem(cast, limit))
    names = [person.name for person in cast.people(3 + round(2 * difficulty))]
    things = cast.word(MANY)
    return turn(first_fitting("chain of numbers", lambda _: _try_chain(cast.dice, names, things, limit)))


def _try_chain(dice: Dice, names: list[str], things: str, limit: int) -> Problem | None:
    counts = [dice.number(2, limit) for _ in names]
    steps = [after - before for before, after in pairwise(counts)]
    asked = dice.number(1, len(names) - 2)
    # neither none nor one, which would need a singular, nor an answer that is among the facts
    if min(map(abs, steps)) < 2 or counts[asked] in {counts[0], *map(abs, steps)}:
        return None
    facts = [f"{names[0]} has {counts[0]} {things}."]
    for (name, other), step in zip(pairwise(names), steps, strict=True):
        facts.append(f"{other} has {abs(step)} {'more' if step > 0 else 'fewer'} {things} than {name}.")
    sums = [Sum(before, abs(step), step > 0) for before, step in zip(counts[:asked], steps, strict=False)]
    work = " ".join(f"{total.text}. {total.steps} {total.result}." for total in sums)
    return has_problem(tuple(dice.shuffled(facts)), names[asked], things, counts[asked], limit, work)


def _code_arithmetic(cast: Cast, difficulty: float) -> list[Message]:
    limit = largest(difficulty)
    if not cast.dice.chance(TOGETHER):
        return turn(_printed_sum(cast, limit, round(3 * difficulty)))
    program, total = write_program(cast, difficulty).problem, digits_problem(cast, limit)
    # a line of its own, so that the question is not part of the program
    return both(cast, replace(program, facts=(f"{program.question}\n",), question=""), total)


def _printed_sum(cast: Cast, limit: int, num_others: int) -> Problem:
    dice = cast.dice
    total = draw_sum(cast, limit)
    first, second, *others = dice.shuffled(("a", "b", "c", "x", "y", "z"))
    lines = [f"{first} = {total.first}", f"{second} = {total.second}"]
    lines += [f"{name} = {dice.number(0, 20)}" for name in others[: dice.number(0, num_others)]]
    lines = dice.shuffled(lines)
    work = f"{'. '.join(lines)}. {total.text}. {total.steps}"
    source = f"print({first} {'+' if total.plus else '-'} {second})"
    return Problem((), "\n".join((*lines, source)), f"prints {total.result}", work)


def _composite(name: str, summary: str, make: Make) -> type[Composite]:
    return type(
        "".join(part.capitalize() for part in name.split("_")),
        (Composite,),
        {"__doc__": summary, "__module__": __name__, "name": name, "parts": tuple(name.split("_")), "make": make},
    )


MEMBERS: dict[str, type[Composite]] = {
    name: _composite(name, f"Composite of {summary}", make)
    for name, summary, make in (
        (
            "chat_memory",
            "chat and memory: a memory question from a user who has given their name.",
            lambda cast, difficulty: in_conversation(cast, turn(memory_problem(cast, difficulty)), difficulty),
        ),
        (
            "chat_reasoning",
            "chat and reasoning: a reasoning question from a user who has given their name.",
            lambda cast, difficulty: in_conversation(cast, turn(reasoning_problem(cast, difficulty)), difficulty),
        ),
        (
            "chat_arithmetic",
            "chat and arithmetic: a sum from a user who has given their name.",
            lambda cast, difficulty: in_conversation(cast, turn(sum_problem(cast, largest(difficulty))), difficulty),
        ),
        (
            "chat_memory_arithmetic",
            "chat, memory and arithmetic: a memory question and a sum from a user who has given their name.",
            lambda cast, difficulty: in_conversation(cast, _memory_arithmetic(cast, difficulty), difficulty),
        ),
        (
            "memory_reasoning",
            "memory and reasoning: where the tallest is, or a question of each.",
            _memory_reasoning,
        ),
        (
            "memory_arithmetic",
            "memory and arithmetic: a question of each, or how many somebody has after things changed hands.",
            _memory_arithmetic,
        ),
        (
            "memory_commands",
            "memory and commands: a question of each, or do what is written on the thing that somebody has now.",
            _memory_commands,
        ),
        (
            "reasoning_arithmetic",
            "reasoning and arithmetic: a question of each, or who has how many more than whom.",
            _reasoning_arithmetic,
        ),
        (
            "code_arithmetic",
            "code and arithmetic: a program and a sum, or a program that prints a sum.",
            _code_arithmetic,
        ),
    )
}
"""The composites by name; a summary says what the examples ask."""
