"""Reasoning: what is not told but follows, by comparing, from families, by rules, by counting."""

from growlm.data.example import Message
from growlm.skills.procedural import Procedural
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.problem import joined, turn
from growlm.tinyworld.reasoning import reasoning_problem

_TWO_QUESTIONS = 0.15


class Reasoning(Procedural):
    """Reasoning: what is not told but follows, by comparing, from families, by rules, by counting.

    One exchange: facts in a random order and a question, sometimes two problems at once. Asked as a conversation, so
    that it can be asked in one. An answer is right if it holds the whole clause, such as ``Tim is the tallest``.

    Args:
        num_train: number of training examples.
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1; the higher, the longer the chains, families and lists.
    """

    def make(self, cast: Cast) -> list[Message]:
        """Makes one example."""
        if not cast.dice.chance(_TWO_QUESTIONS):
            return turn(reasoning_problem(cast, self.difficulty))
        pair = [reasoning_problem(cast, 0.0) for _ in range(2)]
        return turn(joined(pair, [fact for problem in pair for fact in problem.facts]))
