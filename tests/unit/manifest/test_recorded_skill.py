import json
from collections.abc import Callable
from pathlib import Path

import pytest

from growlm.errors import GrowlmError
from growlm.manifest.manifest import ModuleRecord
from growlm.manifest.recorded_skill import keep_data, portable, recorded_skill, state_folder

Make = Callable[..., ModuleRecord]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{n} and", "completion": f" {n}"}) + "\n" for n in range(40)))
    return path


def of_rows(make_module: Make, train: str, digest: str) -> ModuleRecord:
    return make_module("rows", skill={"name": "jsonl", "options": {"train": train}}, digest=digest * 64)


def test_paths_become_names_and_nothing_else_changes() -> None:
    options = {"train": "/home/me/rows.jsonl", "test": "~/rows.jsonl", "data": ["../x/data"], "near": "data/rows.jsonl"}
    expected = {"train": "rows.jsonl", "test": "rows.jsonl", "data": ["data"], "near": "data/rows.jsonl"}
    assert portable(options) == expected
    assert portable({"seed": 3, "metric": None, "text": "a/b", "root": "/"}) == {
        "seed": 3,
        "metric": None,
        "text": "a/b",
        "root": "/",
    }


def test_a_strangers_record_has_no_file_read(make_module: Make, rows: Path) -> None:
    record = of_rows(make_module, str(rows), "a")
    with pytest.raises(GrowlmError, match=r"names data that were not given .*rows.jsonl.*--trust-data true"):
        recorded_skill(record)
    with pytest.raises(GrowlmError):  # nothing was kept either
        recorded_skill(record)


def test_trust_is_kept(make_module: Make, rows: Path) -> None:
    record = of_rows(make_module, str(rows), "b")
    trusted = recorded_skill(record, trust_data=True)
    assert recorded_skill(record).digest("test") == trusted.digest("test")


def test_own_data_are_found_from_anywhere(
    make_module: Make, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = of_rows(make_module, "rows.jsonl", "c")
    monkeypatch.chdir(rows.parent)
    keep_data(record, {"train": "rows.jsonl"})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert recorded_skill(record).digest("train")


def test_a_record_cannot_choose_another_skill_for_kept_data(make_module: Make, rows: Path) -> None:
    keep_data(of_rows(make_module, str(rows), "d"), {"train": str(rows)})
    other = make_module("rows", skill={"name": "stories", "options": {"file": "/etc/hostname"}}, digest="d" * 64)
    with pytest.raises(GrowlmError, match="names data that were not given"):
        recorded_skill(other)


def test_a_skill_of_plain_values_needs_no_trust(make_module: Make) -> None:
    options = {"skills": {"chat": {"options": {"num_train": 20, "num_test": 2}}, "memory": {"skill": "memory"}}}
    mixture = make_module("both", skill={"name": "mixture", "options": options})
    assert recorded_skill(mixture).metric == "loss"


def test_a_damaged_note_is_one_line(make_module: Make, rows: Path) -> None:
    record = of_rows(make_module, str(rows), "e")
    keep_data(record, {"train": str(rows)})
    (note,) = (path for path in (state_folder() / "data").iterdir() if str(rows) in path.read_text())
    for text in ("[]", "{}", "x"):
        note.write_text(text)
        with pytest.raises(GrowlmError):
            recorded_skill(record)
