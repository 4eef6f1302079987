"""SARI of the words of sacrebleu's tokenizer ``13a``, in lower case; the formula is in ``growlm.metrics.sari``."""

from collections.abc import Callable
from functools import cache
from typing import Any

from growlm.metrics.answers.answer_metric import AnswerMetric
from growlm.metrics.sari import sari


class Sari(AnswerMetric):
    """How well a text was simplified: what was rightly kept, added and deleted."""

    package = "sacrebleu"

    def score(self, answer: str, wanted: str, source: str) -> float:
        """Compute SARI; see ``AnswerMetric.score``."""
        words = _words()
        return sari(words(source), words(answer), [words(wanted)])


@cache
def _words() -> Callable[[str], list[str]]:
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenizer: Any = Tokenizer13a()
    return lambda text: str(tokenizer(text.lower())).split()
