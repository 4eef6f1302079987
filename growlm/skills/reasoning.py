"""Reasoning: what is not said but follows, by comparing, from families, by rules, by counting."""

from growlm.skills.procedural import AboutFacts
from growlm.tinyworld.reasoning import reasoning_problem, reasoning_questions


class Reasoning(AboutFacts):
    """Reasoning: what is not said but follows, by comparing, from families, by rules, by counting.

    One exchange: facts in a random order and a question. The answer puts the facts in one form, follows those that lead
    to what is asked, and ends with it: ``Tim, then Sue. Sue, then Zorvik. Tim, then Sue, then Zorvik. Zorvik is the
    tallest.`` Half of the names are new, others in each split. In training more questions about the same facts follow,
    where there are any.

    Args:
        num_train: number of training examples.
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1; the higher, the longer the chains, families and lists.
        hold_out_words: keep some words of the lexicon for validation and test.
        edition: of the examples; 2 is the only one that this version makes.
    """

    ask_once = staticmethod(reasoning_problem)
    ask_often = staticmethod(reasoning_questions)
