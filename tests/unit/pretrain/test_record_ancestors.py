"""The bases that a base began as are found by their records, whatever those hold."""

import json
from pathlib import Path
from typing import Any

import pytest

from growlm.errors import GrowlmError
from growlm.pretrain.record import ancestors


def base(folder: Path, record: Any) -> str:
    """Make what is found as a base, with a record of its training."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    if record is not None:
        (folder / "training.json").write_text(json.dumps(record))
    return str(folder)


def test_the_nearest_comes_first(tmp_path: Path) -> None:
    first = base(tmp_path / "first", {"name": "first", "tokens_seen": 5, "samples": ["Once"]})
    second = base(tmp_path / "second", {"name": "second", "tokens_seen": 7, "expanded": first})
    assert ancestors(None) == []
    assert ancestors(first) == [{"name": "first", "tokens_seen": 5}]
    assert ancestors(second) == [{"name": "second", "tokens_seen": 7}, {"name": "first", "tokens_seen": 5}]


def test_a_base_of_others_has_no_record(tmp_path: Path) -> None:
    unknown = base(tmp_path / "unknown", None)
    assert ancestors(unknown) == [{"name": unknown}]


def test_a_record_that_leads_back_to_itself_ends(tmp_path: Path) -> None:
    first = base(tmp_path / "first", {"name": "first", "expanded": str(tmp_path / "first")})
    assert [one["name"] for one in ancestors(first)] == ["first"]


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    broken = base(tmp_path / "broken", [1, 2])
    with pytest.raises(GrowlmError, match=r"training\.json is not a record of a training"):
        ancestors(broken)
