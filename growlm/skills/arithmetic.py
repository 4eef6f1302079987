"""Arithmetic: adding and taking away, in digits, in words and about things that somebody has."""

from dataclasses import replace

from growlm.data.example import Message
from growlm.skills.procedural import Procedural
from growlm.tinyworld.arithmetic import largest, sum_problem
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.conversation import typed
from growlm.tinyworld.problem import turn


class Arithmetic(Procedural):
    """Arithmetic: adding and taking away, in digits, in words and about things that somebody has.

    One exchange: a sum with a sign or without, in words, as a request, or about what somebody has. The answer works
    place by place, with the one that is carried or borrowed, and ends with the result:
    ``7 + 5 = 12. 2 + 1 + 1 = 4. 42.`` Training covers all sums of two digits; each other sum is one split's. Half of
    the names are new, others in each split; in training four of five are.

    Args:
        num_train: number of training examples.
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1; the largest number is 20 for 0, 99 for 0.5 and 999 for 1.
        hold_out_words: keep some words of the lexicon for validation and test.
        edition: of the examples; 2 is the only one that this version makes.
    """

    history = "none"
    new_names_in_training = 0.8

    def make(self, cast: Cast) -> list[Message]:
        """Make one example."""
        problem = sum_problem(cast, largest(self.difficulty))
        return turn(problem if problem.facts else replace(problem, question=typed(cast.dice, problem.question)))
