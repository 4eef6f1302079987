"""Edit similarity: 1 - (insertions and deletions) / (both lengths), by characters, as rapidfuzz counts them."""

import re

from growlm.metrics.answers.answer_metric import AnswerMetric

_LITERAL = re.compile(r"<(?:STR|NUM|CHAR)_LIT(?::(.*?))?>", re.DOTALL)


class EditSimilarity(AnswerMetric):
    """How alike two texts are, by characters."""

    package = "rapidfuzz"

    def score(self, answer: str, wanted: str, source: str) -> float:
        """Compute the similarity of the texts with their literals restored; see ``AnswerMetric.score``."""
        from rapidfuzz.fuzz import ratio

        return float(ratio(_with_literals(answer), _with_literals(wanted))) / 100


def _with_literals(code: str) -> str:
    """Restore the literals that some corpora of code replace by placeholders: ``<STR_LIT:name>`` becomes ``name``."""
    return _LITERAL.sub(lambda found: found[1] or ("0" if "NUM" in found[0] else ""), code)
