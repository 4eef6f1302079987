"""Memory: who has what, where, and in which order, among distractors."""

from growlm.data.example import Message
from growlm.skills.procedural import Procedural
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.memory import memory_problem, stateless_answer
from growlm.tinyworld.problem import turn


class Memory(Procedural):
    """Memory: who has what, where, and in which order, among distractors.

    One exchange: the user says what people did with things and asks one question. The answer takes one step at a time
    and ends with what was asked: ``Zorvik has the lantern. Zorvik is at the cave. The lantern is at the cave.`` Half of
    the names are made up, others in each split.

    Args:
        num_train: number of training examples.
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1; the higher, the more people, things, events and distractors.
        hold_out_words: keep some words of the lexicon for validation and test.
        edition: of the examples; 2 is the only one that this version makes.
    """

    def make(self, cast: Cast) -> list[Message]:
        """Make one example."""
        return turn(memory_problem(cast, self.difficulty))

    def stateless(self, messages: tuple[Message, ...]) -> str | None:
        """Answer by the last sentence that names what is asked for."""
        return stateless_answer(messages[-1].content)
