"""Exact match: the completion is reproduced, letter by letter."""

from growlm.metrics.answers.answer_metric import AnswerMetric


class ExactMatch(AnswerMetric):
    """Whether the answer is the wanted one."""

    def score(self, answer: str, wanted: str, source: str) -> float:
        """Compare the texts; see ``AnswerMetric.score``."""
        return float(answer == wanted)
