"""Code: what a small program prints; as far from stories as a text can be."""

from growlm.data.example import Message
from growlm.skills.procedural import Procedural
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.program import write_program


class Code(Procedural):
    """Code: what a small program prints; as far from stories as a text can be.

    One exchange: the user gives a program, the answer is ``prints 3 ball.``, right if it holds all that is printed, in
    order. Programs assign, copy, swap, index, loop and compare, but do not calculate.

    Args:
        num_train: number of training programs.
        num_validation: number of validation programs.
        num_test: number of test programs.
        seed: another seed gives other programs.
        difficulty: from 0 to 1; the higher, the longer the programs.
    """

    def make(self, cast: Cast) -> list[Message]:
        """Makes one example."""
        program = write_program(cast, self.difficulty)
        wanted = f"prints {' '.join(program.printed)}."
        return [Message("user", program.text), Message("assistant", wanted, ((wanted,),))]
