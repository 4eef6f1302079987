"""Code: what a small program prints; as far from stories as a text can be."""

from growlm.data.example import Message
from growlm.skills.procedural import Procedural
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.problem import turn
from growlm.tinyworld.program import write_program


class Code(Procedural):
    """Code: what a small program prints; as far from stories as a text can be.

    One exchange: the user gives a program, the answer goes through its lines and ends with all that is printed, in
    order: ``a = 3. b = a = 3. b = 3. prints 3.`` Programs assign, copy, swap, index, loop and compare, but do not
    calculate.

    Args:
        num_train: number of training programs.
        num_validation: number of validation programs.
        num_test: number of test programs.
        seed: another seed gives other programs.
        difficulty: from 0 to 1; the higher, the longer the programs.
        hold_out_words: keep some words of the lexicon for validation and test.
        edition: of the examples; 2 is the only one that this version makes.
    """

    history = "none"

    def make(self, cast: Cast) -> list[Message]:
        """Make one example."""
        return turn(write_program(cast, self.difficulty).problem)
