"""Letter match: the answer begins with the right letter, whatever follows."""

import re

from growlm.metrics.answers.answer_metric import AnswerMetric


class LetterMatch(AnswerMetric):
    """Whether the answer begins with the first letter of the wanted one, as a word of its own."""

    def score(self, answer: str, wanted: str, source: str) -> float:
        """Compare the first letters; see ``AnswerMetric.score``."""
        # a word that happens to begin with the letter is not an answer: "Because" is not B
        return float(re.match(rf"{re.escape(wanted[:1])}(?!\w)", answer, re.IGNORECASE) is not None)
