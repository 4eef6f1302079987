"""What a phase scores by: the skill's own metric, or one that every skill has; for one skill always the same."""

from collections.abc import Callable

import pytest

from growlm.errors import GrowlmError
from growlm.train.result import Grown

Run = Callable[..., Grown]


def test_a_skill_keeps_the_metric_that_it_was_first_scored_by(run: Run) -> None:
    first = run("first", metric="token_accuracy")
    assert {score["metric"] for score in first.record.scores["first"].values()} == {"token_accuracy"}
    second = run("second")
    found = {name: {score["metric"] for score in scores.values()} for name, scores in second.record.scores.items()}
    assert found == {"stories": {"bits_per_byte"}, "first": {"token_accuracy"}, "second": {"exact_match"}}
    assert second.record.scores["first"]["oracle"] == first.record.scores["first"]["oracle"]


def test_a_metric_that_not_every_skill_has_is_refused(run: Run) -> None:
    with pytest.raises(GrowlmError, match="unknown metric of any skill 'contains': known: loss, token_accuracy"):
        run("first", metric="contains")
