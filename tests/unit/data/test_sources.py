"""Files, folders and globs of one's own: every format and compression, each refused in one line where it is damaged."""

import csv
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from growlm.data.sources import data_files, is_own_data, name_of_data, read_rows, skill_of_data
from growlm.errors import GrowlmError

ROWS = [{"prompt": f"00{n}", "completion": f' {n}, "so"\nit is'} for n in range(3)]


def as_json_lines(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def as_json(path: Path) -> None:
    path.write_text(json.dumps(ROWS))


def as_table(path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["prompt", "completion"], delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(ROWS)


def as_parquet(path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(ROWS).to_parquet(str(path))


WRITERS: dict[str, Callable[[Path], None]] = {
    ".jsonl": as_json_lines,
    ".json": as_json,
    ".csv": as_table,
    ".tsv": as_table,
    ".parquet": as_parquet,
}


def zstandard(content: bytes) -> bytes:
    return bytes(pytest.importorskip("zstandard").ZstdCompressor().compress(content))


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard,
}


@pytest.mark.parametrize("compression", COMPRESSORS)
@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_and_compression_holds_the_same_rows(tmp_path: Path, suffix: str, compression: str) -> None:
    if suffix in (".csv", ".tsv"):
        pytest.importorskip("datasets")
    WRITERS[suffix](tmp_path / f"a{suffix}")
    file = tmp_path / f"b{suffix}{compression}"
    file.write_bytes(COMPRESSORS[compression]((tmp_path / f"a{suffix}").read_bytes()))
    rows = list(read_rows(file))
    assert [row for _, row in rows] == ROWS
    assert [where.rpartition(" ")[2] for where, _ in rows] == ["1", "2", "3"]


@pytest.mark.parametrize("separator", ["<|endoftext|>", "\n\n"])
def test_a_text_is_documents(tmp_path: Path, separator: str) -> None:
    (tmp_path / "a.txt").write_text(separator.join(["once\nupon", " ", "a time"]))
    assert [row for _, row in read_rows(tmp_path / "a.txt")] == [{"text": "once\nupon"}, {"text": "a time"}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b'a,b\n"1\n{x', r"a\.csv is not a \.csv file that can be read"),
        ("a.csv", b"a,a\n1,2\n", r"first line must name the columns, each once \(found: a, a\)"),
        ("a.csv", b"\xff,b\n1,2\n", "no UTF-8 text"),
        ("a.csv", b"", r"a\.csv is empty"),
        ("a.csv", b"prompt;completion\n1;2\n", r"its columns are separated by ';': save it with ','"),
        ("a.csv", b"a,b\n", r"a\.csv is empty"),
        ("a.parquet", b"PAR1", r"a\.parquet is not a \.parquet file that can be read"),
        ("a.json", b'{"text": "x"}', "holds a list of objects"),
        ("a.json", b"[]", r"a\.json is empty"),
        ("a.json", b"\n", r"a\.json is empty"),
        ("a.json", b"[1", "no JSON"),
        ("a.txt", b" \n", r"a\.txt is empty"),
        ("a.jsonl.gz", b"no gzip", r"not a whole \.gz file"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "x"}\n' * 99, mtime=0)[:-12], r"not a whole \.gz file"),
        ("a.doc", b"x", r"files of this kind are not read: give one that ends in \.jsonl"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    if name.endswith((".csv", ".parquet")):
        pytest.importorskip("datasets")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GrowlmError, match=message) as error:
        list(read_rows(tmp_path / name))
    assert "\n" not in str(error.value)


def test_a_folder_is_splits_and_a_glob_is_files(tmp_path: Path) -> None:
    for name in "a.jsonl", "b.csv.gz", "valid.jsonl", "test.txt", "notes.md":
        (tmp_path / name).write_text("x")
    assert {split: [file.name for file in files] for split, files in data_files(str(tmp_path)).items()} == {
        "train": ["a.jsonl", "b.csv.gz"],
        "validation": ["valid.jsonl"],
        "test": ["test.txt"],
    }
    assert data_files(f"{tmp_path}/*.jsonl") == {"train": [tmp_path / "a.jsonl", tmp_path / "valid.jsonl"]}
    (tmp_path / "x.jsonl").mkdir()
    assert data_files(f"{tmp_path}/*.jsonl") == {"train": [tmp_path / "a.jsonl", tmp_path / "valid.jsonl"]}
    (tmp_path / "x.jsonl" / "a.jsonl").write_text("x")
    assert data_files(f"{tmp_path}/*/a.jsonl") == {"train": [tmp_path / "x.jsonl" / "a.jsonl"]}
    assert data_files(f"{tmp_path}/**/a.jsonl") == {"train": [tmp_path / "a.jsonl", tmp_path / "x.jsonl" / "a.jsonl"]}
    with pytest.raises(GrowlmError, match="no file matches"):
        data_files(f"{tmp_path}/*.json")
    with pytest.raises(GrowlmError, match=r"^https://a\.org/b\.jsonl is an address: download the file"):
        data_files("https://a.org/b.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(GrowlmError, match="holds no data: put files ending in"):
        data_files(str(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("name", "skill", "module"),
    [
        ("a.csv", "jsonl", "a"),
        ("data/My Talks.jsonl.gz", "jsonl", "my-talks"),
        ("data/*.jsonl", "jsonl", "data"),
        ("data/**/*.jsonl", "jsonl", "data"),
        ("data/*/talks.jsonl", "jsonl", "talks"),
        ("./talks", "jsonl", "talks"),
        ("someone/talks", "hub", "talks"),
    ],
)
def test_what_names_data(name: str, skill: str, module: str) -> None:
    assert is_own_data(name)
    assert skill_of_data(name) == (skill, {"dataset" if skill == "hub" else "train": name})
    assert name_of_data(name) == module
    assert not is_own_data("chat")


def test_a_data_set_that_was_saved_is_known(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text("{}")
    options: dict[str, Any] = {"dataset": str(tmp_path)}
    assert skill_of_data(str(tmp_path)) == ("hub", options)
