"""Data of one's own from a file to a grown module: said before it is trained, validated and logged while it is."""

import csv
import gzip
import json
import lzma
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

import growlm
from growlm.errors import GrowlmError
from growlm.manifest.manifest import read_manifest
from tests.e2e.conftest import WORDS, Files, Outcome

Command = Callable[[Sequence[object]], Outcome]
ROWS = [
    {"instruction": f"the {one} {other}", "input": "in the park", "output": f" sat on {other}"}
    for one in WORDS
    for other in WORDS
    if one < other
]


def test_a_dry_run_says_what_would_be_trained_and_writes_nothing(
    command: Command, files: Files, tmp_path: Path
) -> None:
    stack = tmp_path / "stack"
    outcome = command(files.grow(stack, "--dry_run", "--epochs", "3"))
    assert outcome.status == 0
    assert "words.jsonl: 66 prompts with completions" in outcome.err
    assert "none is cut" in outcome.err
    assert "of 4 examples: " in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_read_validated_and_logged(
    command: Command, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("datasets")
    with Path("talks.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["instruction", "input", "output"])
        writer.writeheader()
        writer.writerows(ROWS)
    words = files.grow(Path("stack"), "--epochs", "1", "--validate_every", "4", "--keep_best", skill="talks.csv")
    outcome = command([*words, "--trainer.logger", "CSVLogger", "--trainer.log_every_n_steps", "4", "--router", "none"])
    assert outcome.status == 0, outcome.err
    assert "talks.csv: 66 instructions with answers (Alpaca); 66 with an input" in outcome.err
    (record,) = read_manifest(Path("stack")).modules
    assert record.skill["options"]["train"] == "talks.csv"
    losses = dict(record.cost["validation"])
    assert next(iter(losses)) == 4
    assert list(losses)[-1] == record.cost["steps"]
    assert min(losses.values()) == list(losses.values())[-1]  # it gets better all the time
    with next(Path("logs").rglob("metrics.csv")).open(newline="") as file:
        rows = list(csv.DictReader(file))
    logged = {key for row in rows for key, value in row.items() if value}
    assert logged >= {"loss", "learning_rate", "tokens_per_second", "validation_loss"}
    assert logged >= {"before/talks/base/loss", "after/talks/oracle/loss", "after/stories/oracle/value"}
    assert "learning_rate: 0.01" in next(Path("logs").rglob("hparams.yaml")).read_text()


def write_data(folder: Path) -> tuple[str, ...]:
    """Write the same rows in every sort of file and folder; return what names them, data sets last."""
    datasets, zstandard = pytest.importorskip("datasets"), pytest.importorskip("zstandard")
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (folder / "rows.json").write_text(json.dumps(ROWS))
    with (folder / "rows.tsv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["instruction", "input", "output"], delimiter="\t")
        writer.writeheader()
        writer.writerows(ROWS)
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (folder / "rows.jsonl.xz").write_bytes(lzma.compress(lines.encode()))
    (folder / "rows.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(lines.encode()))
    (folder / "parts").mkdir()
    (folder / "parts" / "train.jsonl").write_text(lines)
    saved = datasets.Dataset.from_list(ROWS)
    saved.to_parquet(str(folder / "rows.parquet"))
    saved.save_to_disk(str(folder / "saved"))
    datasets.DatasetDict(train=saved).save_to_disk(str(folder / "splits"))
    files = ("rows.json", "rows.tsv", "rows.jsonl.gz", "rows.jsonl.xz", "rows.jsonl.zst", "rows.parquet")
    return (*files, "./parts", "parts/*.jsonl", "./saved", "./splits")


def test_every_sort_of_data_is_taken_by_its_path(
    command: Command, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in write_data(tmp_path):
        outcome = command(files.grow(Path("stack"), "--dry_run", skill=name))
        assert outcome.status == 0, (name, outcome.err)
        assert f"{name}: 66 instructions with answers (Alpaca); 66 with an input" in outcome.err
        assert "training examples of" in outcome.err


def test_a_data_set_of_the_hub_is_taken_by_its_id(
    command: Command, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    asked: list[tuple[object, ...]] = []

    def load(*words: object, **options: object) -> object:
        asked.append(words)
        return datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS))

    monkeypatch.setattr(datasets, "load_dataset", load)
    outcome = command(files.grow(tmp_path / "stack", "--dry_run", skill="someone/talks"))
    assert outcome.status == 0, outcome.err
    assert asked == [("someone/talks", None)]
    assert "someone/talks: 66 instructions with answers (Alpaca); 66 with an input" in outcome.err


def test_a_path_is_never_answered_with_the_list_of_skills(command: Command, files: Files, tmp_path: Path) -> None:
    for name, message in {
        f"{tmp_path}/no.csv": "no.csv is missing",
        f"{tmp_path}/*.jsonl": "no file matches",
        f"{tmp_path}": "holds no data",
        "x.pdf": "files of this kind are not read",
    }.items():
        outcome = command(files.grow(tmp_path / "stack", skill=name))
        assert outcome.status == 2
        assert message in outcome.err
        assert "arithmetic" not in outcome.err


def test_rows_of_python_become_a_module(files: Files, tmp_path: Path) -> None:
    options = {"stack": tmp_path / "stack", "base": files.base, "stories": files.stories, "steps": 4}
    options |= {"batch_size": 4, "num_scored": 4, "router": "none", "module": {"lora": {"rank": 2}}}
    options |= {"trainer.precision": "32-true", "trainer.accelerator": "cpu"}
    grown = growlm.grow((row for row in ROWS), name="rows", **options)
    assert grown.record.skill["name"] == "rows"
    assert growlm.grow(ROWS, name="rows", **options).already_there
    if find_spec("datasets"):
        from datasets import Dataset

        assert growlm.grow(Dataset.from_list(ROWS), name="rows", **options).already_there
    with pytest.raises(GrowlmError, match="rows have no name of their own"):
        growlm.grow(ROWS, **options)
    assert json.loads((tmp_path / "stack" / "modules" / "00-rows" / "module.json").read_text())["name"] == "rows"
