"""How one answer is scored: a number from 0 to 1 for each metric that compares it with the right one.

Packages for three of them come with ``pip install 'growlm[metrics]'``: ROUGE-L is torchmetrics' with nltk's Porter
stemmer, the words of SARI are sacrebleu's, and the edit similarity is rapidfuzz's.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from growlm.metrics.sari import sari
from growlm.metrics.trace_rouge_l import trace_rouge_l
from growlm.skills.metric import require_metric

AnswerMetric = Callable[[str, str, str], float]
"""Scores an answer, given the right one and the prompt's source text."""

_LITERAL = re.compile(r"<(?:STR|NUM|CHAR)_LIT(?::(.*?))?>", re.DOTALL)


def answer_metric(metric: str) -> AnswerMetric:
    """Return the function that scores answers by a metric.

    Args:
        metric: a metric that compares an answer with a wanted one.

    Returns:
        The function; an empty answer gets 0.

    Raises:
        GrowlmError: if the metric's package is not installed.
    """
    require_metric(metric)
    measure = _METRICS[metric]
    return lambda answer, wanted, source: measure(answer.strip(), wanted.strip(), source) if answer.strip() else 0.0


def _exact_match(answer: str, wanted: str, source: str) -> float:
    return float(answer == wanted)


def _label_match(answer: str, wanted: str, source: str) -> float:
    return float(answer.lower() == wanted.lower())


def _letter_match(answer: str, wanted: str, source: str) -> float:
    # a word that happens to begin with the letter is no answer: "Because" is not B
    return float(re.match(rf"{re.escape(wanted[:1])}(?!\w)", answer, re.IGNORECASE) is not None)


def _rouge_l(answer: str, wanted: str, source: str) -> float:
    from torchmetrics.functional.text.rouge import rouge_score

    found = rouge_score(answer, wanted, use_stemmer=True, rouge_keys="rougeL")
    return float(found["rougeL_fmeasure"])


def _trace_rouge_l(answer: str, wanted: str, source: str) -> float:
    return trace_rouge_l(answer, wanted)


def _sari(answer: str, wanted: str, source: str) -> float:
    words = _words_13a()
    return sari(words(source), words(answer), [words(wanted)])


def _edit_similarity(answer: str, wanted: str, source: str) -> float:
    from rapidfuzz.fuzz import ratio

    return float(ratio(_with_literals(answer), _with_literals(wanted))) / 100


def _with_literals(code: str) -> str:
    """Restore the literals that some corpora of code replace by placeholders: ``<STR_LIT:name>`` becomes ``name``."""
    return _LITERAL.sub(lambda found: found[1] or ("0" if "NUM" in found[0] else ""), code)


@cache
def _words_13a() -> Callable[[str], list[str]]:
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenizer: Any = Tokenizer13a()
    return lambda text: str(tokenizer(text.lower())).split()


_METRICS: dict[str, AnswerMetric] = {
    "exact_match": _exact_match,
    "label_match": _label_match,
    "letter_match": _letter_match,
    "rouge_l": _rouge_l,
    "trace_rouge_l": _trace_rouge_l,
    "sari": _sari,
    "edit_similarity": _edit_similarity,
}
