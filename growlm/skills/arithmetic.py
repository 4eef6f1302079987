"""Arithmetic: adding and taking away, in figures and about things that somebody has."""

from growlm.data.example import Message
from growlm.skills.procedural import Procedural
from growlm.tinyworld.arithmetic import arithmetic_problem, largest, sum_problem
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.problem import joined, turn


class Arithmetic(Procedural):
    """Arithmetic: adding and taking away, in figures and about things that somebody has.

    One exchange, sometimes of two questions, asked as a conversation so that it can be asked in one. No pair of numbers
    of the test is ever added or taken away in training, in either order. An answer is right if it holds ``3 + 4 = 7``
    or ``Tim has 7 apples``.

    Args:
        num_train: number of training examples.
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1; the largest number is 10 for 0, 30 for 0.5 and 99 for 1; above 0.25 there are sums of
            three numbers, too; two questions are the more frequent.
    """

    def make(self, cast: Cast) -> list[Message]:
        """Makes one example."""
        if not cast.dice.chance(0.1 + 0.2 * self.difficulty):
            return turn(arithmetic_problem(cast, self.difficulty))
        pair = [sum_problem(cast, largest(self.difficulty), 1) for _ in range(2)]
        return turn(joined(pair, [fact for problem in pair for fact in problem.facts]))
