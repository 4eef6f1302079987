"""Composite of code and arithmetic: a program that prints a sum."""

from growlm.skills._procedural import Composite
from growlm.skills._skill import Message
from growlm.skills._tinyworld.arithmetic_problems import draw_sum, largest
from growlm.skills._tinyworld.cast import Cast


class CodeArithmetic(Composite):
    """Composite of code and arithmetic: a program that prints a sum.

    Code alone never calculates; arithmetic alone knows neither variables nor how a program's answer begins. For testing
    only.

    Args:
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1, as that of its parts.
    """

    parts = ("code", "arithmetic")

    def make(self, cast: Cast) -> list[Message]:
        """Makes one example."""
        dice = cast.dice
        total = draw_sum(cast, largest(self.difficulty), num_steps=1)
        step = total.steps[0]
        first, second, *others = dice.shuffled(("a", "b", "c", "x", "y", "z"))
        lines = [f"{first} = {total.first}", f"{second} = {abs(step)}"]
        lines += [f"{name} = {dice.number(0, 20)}" for name in others[: dice.number(0, round(3 * self.difficulty))]]
        source = f"print({first} {'+' if step > 0 else '-'} {second})"
        wanted = f"prints {total.result}."
        return [
            Message("user", "\n".join((*dice.shuffled(lines), source))),
            Message("assistant", wanted, ((wanted,),)),
        ]
