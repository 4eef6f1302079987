"""Memory: who has what, where, and in which order, among distractors."""

from growlm.data.example import Message
from growlm.skills.procedural import AboutFacts
from growlm.tinyworld.memory import memory_problem, memory_questions, stateless_answer


class Memory(AboutFacts):
    """Memory: who has what, where, and in which order, among distractors.

    One exchange: the user says what people did with things and asks one question. The answer takes one step at a time
    and ends with what was asked: ``Zorvik has the lantern. Zorvik is at the cave. The lantern is at the cave.`` Half of
    the names are new, others in each split. In training more questions about the same story follow.

    Args:
        num_train: number of training examples.
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1; the higher, the more people, things, events and distractors.
        hold_out_words: keep some words of the lexicon for validation and test.
        edition: of the examples; 2 is the only one that this version makes.
    """

    ask_once = staticmethod(memory_problem)
    ask_often = staticmethod(memory_questions)

    def stateless(self, messages: tuple[Message, ...]) -> str | None:
        """Answer by the last sentence that names what is asked for."""
        return stateless_answer(messages[-1].content)
