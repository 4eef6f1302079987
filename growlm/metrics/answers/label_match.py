"""Label match: the completion is reproduced, in any case."""

from growlm.metrics.answers.answer_metric import AnswerMetric


class LabelMatch(AnswerMetric):
    """Whether the answer is the wanted label, in any case."""

    def score(self, answer: str, wanted: str, source: str) -> float:
        """Compare the texts in lower case; see ``AnswerMetric.score``."""
        return float(answer.lower() == wanted.lower())
