"""A cell's file: exact, and refused when anybody touched it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from growlm.bench.run.result import CellResult, read_cell
from growlm.errors import GrowlmError
from growlm.sealed import json_digest

Make = Callable[..., CellResult]


def test_round_trip(make_cell: Make, tmp_path: Path):
    path = tmp_path / "cell.json"
    make_cell().write(path)
    again = read_cell(path)
    assert again == make_cell()
    first = path.read_bytes()
    again.write(path)
    assert path.read_bytes() == first


def changed(path: Path, change: Callable[[dict[str, Any]], object], seal: bool) -> None:
    content = json.loads(path.read_text())
    content.pop("digest")
    change(content)
    path.write_text(json.dumps({**content, "digest": json_digest(content) if seal else "0" * 64}))


@pytest.mark.parametrize(
    ("change", "seal", "message"),
    [
        (lambda c: c.update(format_version=2), True, r"has format version 2, this growlm reads version 1"),
        (lambda c: c.pop("format_version"), True, "is not a growlm file"),
        (lambda c: c["scores"]["modes"]["all"][3].__setitem__(0, 1.0), False, "was edited or damaged"),
        (lambda c: c["scores"]["modes"]["all"].pop(), True, "expected 4 rows"),
        (lambda c: c["scores"].update(format_version=1), True, "scores of format version 1"),
        (lambda c: c["scores"]["modes"].pop("all"), True, "does not have the fields of a cell"),
        (lambda c: c["costs"].pop(), True, r"fields of a cell \(finished after 2 phases\)"),
        (lambda c: c["settings"].pop("seed"), True, "does not have the fields of a cell"),
        (lambda c: c["settings"].update(label=3), True, "does not have the fields of a cell"),
        (lambda c: c.update(more=1), True, "does not have the fields of a cell"),
        (lambda c: c.update(importance={"layers": ["0"]}), True, "does not have the fields of a cell"),
        (
            lambda c: c.update(importance={"layers": ["0"], "projections": ["q"], "values": [[]]}),
            True,
            "not a value for each layer and projection",
        ),
        (lambda c: c.pop("mode"), True, "does not have the fields of a cell"),
    ],
)
def test_anything_else_is_refused(make_cell: Make, tmp_path: Path, change: Any, seal: bool, message: str):
    path = tmp_path / "cell.json"
    make_cell().write(path)
    changed(path, change, seal)
    with pytest.raises(GrowlmError, match=message):
        read_cell(path)


def test_half_a_file_is_refused(make_cell: Make, tmp_path: Path):
    path = tmp_path / "cell.json"
    make_cell().write(path)
    path.write_text(path.read_text()[:500])
    with pytest.raises(GrowlmError, match="is not valid JSON"):
        read_cell(path)
