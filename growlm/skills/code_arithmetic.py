"""Composite of code and arithmetic: both at once, or a program that prints a sum."""

from growlm.data.example import Message
from growlm.skills._procedural import Composite
from growlm.tinyworld.arithmetic import draw_sum, figures_problem, largest
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.composed import TOGETHER
from growlm.tinyworld.problem import Problem, joined, turn
from growlm.tinyworld.program import write_program


class CodeArithmetic(Composite):
    """Composite of code and arithmetic: both at once, or a program that prints a sum.

    Three quarters of the examples give a program and ask for a sum, and want both answers; the others give a program
    that adds or takes away. Code alone never calculates; arithmetic alone knows neither variables nor how a program's
    answer begins. For testing only.

    Args:
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1, as that of its parts.
    """

    parts = ("code", "arithmetic")

    def make(self, cast: Cast) -> list[Message]:
        """Makes one example."""
        limit = largest(self.difficulty)
        if not cast.dice.chance(TOGETHER):
            return turn(_printed_sum(cast, limit, round(3 * self.difficulty)))
        program = write_program(cast, self.difficulty)
        printed = f"prints {' '.join(program.printed)}."
        # a line of its own, so that the question is no part of the program
        return turn(
            joined([Problem((), f"{program.text}\n", printed, printed, ()), figures_problem(cast, limit, 1)], ())
        )


def _printed_sum(cast: Cast, limit: int, num_others: int) -> Problem:
    dice = cast.dice
    total = draw_sum(cast, limit, num_steps=1)
    step = total.steps[0]
    first, second, *others = dice.shuffled(("a", "b", "c", "x", "y", "z"))
    lines = [f"{first} = {total.first}", f"{second} = {abs(step)}"]
    lines += [f"{name} = {dice.number(0, 20)}" for name in others[: dice.number(0, num_others)]]
    source = f"print({first} {'+' if step > 0 else '-'} {second})"
    wanted = f"prints {total.result}."
    return Problem((), "\n".join((*dice.shuffled(lines), source)), wanted, wanted, ())
