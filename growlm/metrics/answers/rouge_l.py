"""ROUGE-L (Lin 2004): F1 of the longest common subsequence of words, as stems.

The words and their stems are those of torchmetrics with nltk's Porter stemmer.
"""

from growlm.metrics.answers.answer_metric import AnswerMetric


class RougeL(AnswerMetric):
    """F1 of the longest common subsequence of words."""

    package = "nltk"

    def score(self, answer: str, wanted: str, source: str) -> float:
        """Compute ROUGE-L; see ``AnswerMetric.score``."""
        from torchmetrics.functional.text.rouge import rouge_score

        found = rouge_score(answer, wanted, use_stemmer=True, rouge_keys="rougeL")
        return float(found["rougeL_fmeasure"])
