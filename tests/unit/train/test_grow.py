"""What is scored when a phase is finished."""

from collections.abc import Callable
from typing import Any

import pytest

from growlm.manifest.card import score_tables
from growlm.train.result import Grown

Run = Callable[..., Grown]


@pytest.mark.parametrize(
    ("rescore", "scored"), [(True, ["stories", "first", "second"]), (False, ["stories", "second"])]
)
def test_older_skills_are_scored_again_unless_told_otherwise(run: Run, rescore: bool, scored: list[str]) -> None:
    run("first")
    grown = run("second", rescore=rescore)
    assert list(grown.record.scores) == scored
    assert ("oracle" in grown.record.scores["stories"]) == rescore
    rows: Any = score_tables(grown.stack.manifest).modes["oracle"]
    assert (rows[2][0] is not None) == rescore
    assert rows[1][0] is not None
    assert rows[2][1] is not None
