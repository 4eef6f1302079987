import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from growlm.commands.eval import eval
from growlm.errors import GrowlmError
from growlm.show.suite import run_suite, suite_table
from growlm.tinyworld.consistency import PROBES


@pytest.fixture
def stories(tmp_path: Path) -> Path:
    file = tmp_path / "stories.txt"
    file.write_text("the cat sat.\n<|endoftext|>\nthe dog ran.\n<|endoftext|>\n")
    return file


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    folder = tmp_path / "blimp"
    folder.mkdir()
    row = {"sentence_good": "the cat sits", "sentence_bad": "the cat sit", "linguistics_term": "agreement"}
    (folder / "number.jsonl").write_text(json.dumps(row) + "\n")
    return folder


def test_every_part_is_measured_and_the_same_twice(new_stack: Callable[..., Any], stories: Path, pairs: Path) -> None:
    stack = new_stack()
    measured = run_suite(stack, "base", stories, pairs, limit=2)
    assert measured.stories is not None
    assert measured.blimp is not None
    assert (measured.stories.stories, measured.stories.file, measured.blimp.pairs) == (2, "stories.txt", 1)
    assert measured.stories.bits_per_byte == measured.stories.bits_per_byte_first > 0
    assert measured.consistency.probes == 2 * len(PROBES)
    assert run_suite(stack, "base", stories, pairs, limit=2) == measured
    table = suite_table(measured)
    assert table.row_count == len(measured.rows()) == 5 + len(PROBES)


def test_what_there_is_no_data_for_is_left_out_and_said(
    new_stack: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "growlm"):
        measured = run_suite(new_stack(), "base", None, None, limit=1)
    assert measured.stories is None
    assert measured.blimp is None
    assert "bits per byte left out: no --stories given" in caplog.messages


@pytest.mark.parametrize(
    ("suite", "limit", "message"), [("bse", 1, "unknown suite 'bse': did you mean 'base'"), ("base", 0, "limit 0 is")]
)
def test_what_is_refused(new_stack: Callable[..., Any], suite: str, limit: int, message: str) -> None:
    with pytest.raises(GrowlmError, match=message):
        run_suite(new_stack(), suite, None, None, limit)


def test_the_command_prints_json(
    new_stack: Callable[..., Any], stories: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new_stack().save_pretrained(tmp_path / "stack")
    eval(str(tmp_path / "stack"), suite="base", stories=str(stories), limit=1, json=True)
    content = json.loads(capsys.readouterr().out)
    assert content["stories"]["stories"] == 1
    assert content["blimp"] is None
    assert set(content["consistency"]["sorts"]) == set(PROBES)
