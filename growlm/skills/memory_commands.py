"""Composite of memory and commands: both at once, or do what is written on the thing that somebody has now."""

from growlm.data.example import Message
from growlm.skills._procedural import Composite
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.composed import TOGETHER, both
from growlm.tinyworld.instructions import Instruction, command_problem, draw_instruction
from growlm.tinyworld.lexicon import THINGS
from growlm.tinyworld.memory import memory_problems
from growlm.tinyworld.problem import Problem, turn
from growlm.tinyworld.scene import draw_scene
from growlm.tinyworld.tries import first_fitting


class MemoryCommands(Composite):
    """Composite of memory and commands: both at once, or do what is written on the thing that somebody has now.

    Three quarters of the examples ask a question of memory and give a command, and want both answers. In the others,
    three people have a thing each, with a command on it, and swap things: memory alone never learns what commands mean,
    commands alone never learn who has what. For testing only.

    Args:
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1, as that of its parts.
    """

    parts = ("memory", "commands")

    def make(self, cast: Cast) -> list[Message]:
        """Makes one example."""
        dice = cast.dice
        if dice.chance(TOGETHER):
            remembered = dice.pick(dice.pick(memory_problems(draw_scene(cast, self.difficulty))))
            return turn(both(cast, remembered, command_problem(dice, draw_instruction(dice, self.difficulty))))
        return turn(_written_problem(cast, 0.5 * self.difficulty, dice.number(0, round(2 * self.difficulty))))


def _written_problem(cast: Cast, difficulty: float, num_swaps: int) -> Problem:
    dice = cast.dice
    names = [person.name for person in cast.people(3)]
    things = cast.words(THINGS, 3)

    def different(_: int) -> dict[str, Instruction] | None:
        drawn = {thing: draw_instruction(dice, difficulty) for thing in things}
        return drawn if len({command.meaning() for command in drawn.values()}) == 3 else None

    commands = first_fitting("three different commands", different)
    told = dice.shuffled([f"The {thing} says: {command.text}." for thing, command in commands.items()])
    owns = dict(zip(names, things, strict=True))
    told += [f"{name} took the {thing}." for name, thing in owns.items()]
    for _ in range(num_swaps):
        first, second = dice.some(names, 2)
        told.append(f"{first} gave the {owns[first]} to {second}. {second} gave the {owns[second]} to {first}.")
        owns[first], owns[second] = owns[second], owns[first]
    asked = dice.pick(names)
    wanted = f"go {' '.join(commands[owns[asked]].meaning())} stop"
    return Problem(tuple(told), f"Robot, do what the thing that {asked} has says!", wanted, wanted, ())
