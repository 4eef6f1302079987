"""ROUGE-L as TRACE computes it; the formula is in ``growlm.metrics.trace_rouge_l``."""

from growlm.metrics.answers.answer_metric import AnswerMetric
from growlm.metrics.trace_rouge_l import trace_rouge_l


class TraceRougeL(AnswerMetric):
    """ROUGE-L of the set of words, within sentences, without stems."""

    def score(self, answer: str, wanted: str, source: str) -> float:
        """Compute TRACE's ROUGE-L; see ``AnswerMetric.score``."""
        return trace_rouge_l(answer, wanted)
