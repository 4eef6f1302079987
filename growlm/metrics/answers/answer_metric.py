"""What a metric of answers is: it compares one answer with the right one, and gives a number from 0 to 1."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from growlm.registry import answer_metrics
from growlm.skills.metric import require_metric


class AnswerMetric(ABC):
    """A metric of answers; its name is that of its file.

    Attributes:
        package: a package that it needs and that comes with ``pip install 'growlm[metrics]'``; None: it needs none.
    """

    package: ClassVar[str | None] = None

    @abstractmethod
    def score(self, answer: str, wanted: str, source: str) -> float:
        """Score an answer.

        Args:
            answer: the model's answer, without white space around it.
            wanted: the right one, likewise.
            source: the prompt's text.

        Returns:
            From 0, wrong, to 1, right.
        """


def answer_metric(metric: str) -> Callable[[str, str, str], float]:
    """Return the function that scores answers by a metric.

    Args:
        metric: a metric that compares an answer with a wanted one.

    Returns:
        The function of an answer, the right one and the prompt's text; an empty answer gets 0.

    Raises:
        GrowlmError: for an unknown metric, or one whose package is not installed.
    """
    require_metric(metric)
    score = answer_metrics.build(metric).score
    return lambda answer, wanted, source: score(answer.strip(), wanted.strip(), source) if answer.strip() else 0.0
