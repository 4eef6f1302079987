"""The names of metrics and of ways to score, and what is to be known of them before anything is trained."""

from importlib.util import find_spec
from typing import Literal

from growlm.errors import needs_extra, unknown_name
from growlm.registry import answer_metrics

Metric = str
"""How answers are scored: by a metric that compares an answer with the right one, each of them a file of
``growlm/metrics/answers``, or by one of these; all are from 0 to 1 but the last two:

- ``final_answer``: share of the scored replies whose last clause is the expected one, whatever work comes before it; in
  any case, without the stop at the end (``growlm.data.example.Message.ends_with``).
- ``contains``: share of the scored replies that hold what was expected, as whole words in any case, and no other choice
  (``growlm.data.example.Message.accepts``).
- ``token_accuracy``: share of the trained tokens that are the likeliest ones after everything before them.
- ``loss``: nats per trained token.
- ``bits_per_byte``: of plain text.
"""

Scoring = Literal["generation", "candidates", "candidates_per_token"]
"""How a model is asked for its answer:

- ``generation``: greedy decoding, free of any restriction.
- ``candidates``: the one among an example's choices that is likeliest, its stop token included.
- ``candidates_per_token``: the same with each choice's log-probability divided by its number of tokens.
"""

LOWER_IS_BETTER: tuple[Metric, ...] = ("loss", "bits_per_byte")

OF_ANY_SKILL: tuple[Metric, ...] = ("token_accuracy", "loss")
"""What every skill can be scored by instead of its own metric, whatever the shape of its examples."""

OF_MESSAGES: tuple[Metric, ...] = ("final_answer", "contains")
"""The metrics of conversations: they judge each assistant turn that has ``expected``."""

ASKS_NOTHING: tuple[Metric, ...] = ("token_accuracy", *LOWER_IS_BETTER)
"""The metrics that are read off the probabilities of the examples as they are: no answer is asked for."""

_WITHOUT_ANSWER: tuple[Metric, ...] = (*OF_MESSAGES, *ASKS_NOTHING)
"""The metrics that compare no answer with a right one."""


def higher_is_better(metric: str) -> bool:
    """Return whether greater values of a metric are better."""
    return metric not in LOWER_IS_BETTER


def require_metric(metric: str) -> None:
    """Refuse a metric that there is none of, or whose package is not installed.

    Args:
        metric: the metric's name.

    Raises:
        GrowlmError: naming the nearest metric, or the package.
    """
    if metric in _WITHOUT_ANSWER:
        return
    if metric not in answer_metrics:
        raise unknown_name("metric", metric, [*_WITHOUT_ANSWER, *answer_metrics])
    package = answer_metrics.get(metric).package
    if package is not None and find_spec(package) is None:
        raise needs_extra(f"metric {metric!r}", package, "metrics")
