"""The one format of scores: read strictly, written without loss."""

import json
from typing import Any

import pytest

from growlm.errors import GrowlmError
from growlm.manifest.scores import ScoreTables


def content(**changes: Any) -> dict[str, Any]:
    matrix = [[0.0, None], [0.75, None], [0.5, 1]]
    return {
        "format_version": 2,
        "skills": ["chat", "memory"],
        "metrics": {"chat": "contains", "memory": None},
        "modes": {"oracle": matrix, "all": matrix},
    } | changes


def test_round_trip():
    assert ScoreTables.from_json(json.loads(json.dumps(content()))).to_json() == content()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 1}, r"here: scores of format version 1, this growlm reads version 2"),
        ({"format_version": None}, "format version None"),
        ({"more": 1}, "found .*'more'"),
        ({"skills": "chat"}, "expected a list of names"),
        ({"skills": ["chat", "chat"]}, "none of them twice"),
        ({"metrics": ["contains"]}, "expected a metric's name"),
        ({"modes": {"best": []}}, "matrices under oracle, routed, all"),
        ({"modes": {"all": [[0, 0], [1, 1]]}}, "mode 'all': expected 3 rows"),
        ({"modes": {"all": [[0, 0], [1, 1], [1]]}}, "mode 'all', row 2: expected 2 cells"),
        ({"modes": {"all": [[0, 0], [1, "high"], [1, 1]]}}, "row 1: 'high' is not a score"),
        ({"modes": {"all": [[0, 0], [1, True], [1, 1]]}}, "True is not a score"),
        ({"modes": {"all": [[0, 0], [1, float("nan")], [1, 1]]}}, "nan is not a score"),
    ],
)
def test_anything_else_is_refused(changes: dict[str, Any], message: str):
    with pytest.raises(GrowlmError, match=message):
        ScoreTables.from_json(content(**changes), "here")


@pytest.mark.parametrize("other", [None, [], "scores", 2])
def test_what_is_no_object_is_refused(other: object):
    with pytest.raises(GrowlmError, match="format version None"):
        ScoreTables.from_json(other)
