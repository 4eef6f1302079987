"""Your own data: from a file, a folder or a glob to rows, each with where it is.

JSON and text are read here, strictly; tables (``.csv``, ``.tsv``, ``.parquet``) by the package ``datasets``. Any of
them may be compressed (``.gz``, ``.xz``, ``.zst``). Importing this module imports neither.
"""

import csv
import re
import shutil
from collections.abc import Iterator, Mapping
from glob import glob
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from growlm.data.compressed import COMPRESSIONS, opened
from growlm.data.example import Split
from growlm.data.json_lines import json_object, json_value, line_text, numbered_lines, row_text
from growlm.errors import GrowlmError, needs_extra, one_line

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt")
SAVED_DATASET = ("dataset_info.json", "dataset_dict.json")
_SEPARATOR = "<|endoftext|>"
_SPLIT_NAMES: Mapping[str, Split] = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
_GLOB = "*?["

Row = tuple[str, dict[str, Any] | GrowlmError]
"""Where a row is, and the row or what is wrong with it."""


def is_own_data(name: str) -> bool:
    """Return whether a skill is named by its data: a file, a folder, a glob, or a data set of the Hugging Face hub."""
    return any(sign in name for sign in "./\\" + _GLOB) or name.startswith("~")


def is_saved_dataset(name: str) -> bool:
    """Return whether a name means a data set of the package ``datasets``: a folder that it saved, or an id."""
    folder = Path(name).expanduser()
    if any((folder / file).is_file() for file in SAVED_DATASET):
        return True
    is_path = name.startswith(("/", ".", "~")) or folder.exists() or _suffix(folder) in SUFFIXES
    return not is_path and name.count("/") == 1 and not any(sign in name for sign in _GLOB)


def skill_of_data(name: str) -> tuple[str, dict[str, Any]]:
    """Return the skill that reads some data, and its options."""
    return ("hub", {"dataset": name}) if is_saved_dataset(name) else ("jsonl", {"train": name})


def name_of_data(name: str) -> str:
    """Return what a module is called that is grown on some data: as the file or folder, in small letters."""
    path = Path(name).expanduser()
    stem = path.name.partition(".")[0]
    if not any(sign in path.name for sign in _GLOB) and stem:
        return re.sub(r"[^a-z0-9_-]+", "-", stem.lower()).strip("-_")
    return name_of_data(str(path.parent.resolve())) if len(path.parts) > 1 else "data"


def data_files(name: str) -> dict[Split, list[Path]]:
    """Find the files that a name means.

    Args:
        name: a file, a glob (``**`` is any number of folders), or a folder; files of a folder that are called train,
            validation or test are that split.

    Returns:
        The files of each split that there are files of, in order; those without a split's name are for training.

    Raises:
        GrowlmError: if there is none.
    """
    if "://" in name:
        raise GrowlmError(f"{name} is an address: download the file, and give its path")
    path = Path(name).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and _suffix(file) in SUFFIXES)
        if not files:
            raise GrowlmError(f"{path} holds no data: put files ending in {', '.join(SUFFIXES)} there")
        found: dict[Split, list[Path]] = {}
        for file in files:
            found.setdefault(_SPLIT_NAMES.get(file.name.partition(".")[0].lower(), "train"), []).append(file)
        if "train" not in found:
            raise GrowlmError(f"{path} has nothing to train on: call one of its files train, such as train.jsonl")
        return found
    if any(sign in name for sign in _GLOB) and not path.exists():
        candidates = map(Path, glob(str(path), recursive=True))  # noqa: PTH207  # Path.glob fails on names like a**
        matching = sorted(file for file in candidates if file.is_file())
        if not matching:
            raise GrowlmError(f"no file matches {name}: give the path of a file, a folder, or another glob")
        return {"train": matching}
    return {"train": [path]}


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file.

    Args:
        path: the file; what its name ends in says what it holds.

    Yields:
        Where the row is, for messages, and the row or what is wrong with it.

    Raises:
        GrowlmError: if the file is missing, damaged, empty or of another kind.
    """
    suffix = _suffix(path)
    if suffix not in SUFFIXES:
        known = f"{', '.join(SUFFIXES)}, each also with {', '.join(COMPRESSIONS)}"
        raise GrowlmError(f"{path}: files of this kind are not read: give one that ends in {known}")
    if not path.is_file():
        raise GrowlmError(f"{path} is missing: give the path of a file, a folder or a glob")
    readers = {".jsonl": _json_lines, ".json": _json_array, ".txt": _documents}
    number = 0
    for number, row in enumerate(readers.get(suffix, _table)(path), 1):  # noqa: B007  # whether there was one
        yield row
    if not number:
        raise GrowlmError(f"{path} is empty: give a file with one row or more")


def _json_lines(path: Path) -> Iterator[Row]:
    with opened(path) as lines:
        for number, line in numbered_lines(lines):
            where = f"{path}, line {number}"
            try:
                text = row_text(line, number, where)
                if text.strip():
                    yield where, json_object(text, where)
            except GrowlmError as error:
                yield where, error


def _json_array(path: Path) -> Iterator[Row]:
    with opened(path) as file:
        text = line_text(file.read(), 1, str(path))
    content = json_value(text, str(path)) if text.strip() else []
    if not isinstance(content, list):
        raise GrowlmError(f"{path}: a .json file holds a list of objects; call a file with one object per line .jsonl")
    for number, row in enumerate(content, 1):
        where = f"{path}, entry {number}"
        yield where, row if isinstance(row, dict) else GrowlmError(f"{where}: no object; write {{...}}")


def _documents(path: Path) -> Iterator[Row]:
    """Yield a text's documents: what ``<|endoftext|>`` separates, or blank lines where there is none."""
    with opened(path) as file:
        text = line_text(file.read(), 1, str(path))
    documents = text.split(_SEPARATOR) if _SEPARATOR in text else text.replace("\r\n", "\n").split("\n\n")
    kept = (document.strip() for document in documents)
    for number, document in enumerate(filter(None, kept), 1):
        yield f"{path}, document {number}", {"text": document}


def _table(path: Path) -> Iterator[Row]:
    try:
        import datasets  # type: ignore[import-not-found, import-untyped, unused-ignore]  # an extra
    except ImportError:
        raise needs_extra(str(path), "datasets", "data") from None
    suffix = _suffix(path)
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"table{suffix}"
        with opened(path) as source, file.open("wb") as target:
            shutil.copyfileobj(source, target)
        options: dict[str, Any] = {}
        if suffix != ".parquet":  # every cell is text as it is written: 007 is not a number
            separator = "\t" if suffix == ".tsv" else ","
            options = {"sep": separator, "keep_default_na": False, "features": _text_columns(file, separator, path)}
        try:
            rows = datasets.load_dataset(
                "parquet" if suffix == ".parquet" else "csv",
                data_files=str(file),
                split="train",
                streaming=True,
                cache_dir=f"{folder}/cache",
                **options,
            )
            for number, row in enumerate(rows, 1):
                yield f"{path}, row {number}", dict(row)
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            reason = one_line(str(error)).replace(str(file), path.name)[:200]
            raise GrowlmError(f"{path} is not a {suffix} file that can be read ({reason}): correct it") from None


def _text_columns(file: Path, separator: str, path: Path) -> Any:
    import datasets  # type: ignore[import-not-found, import-untyped, unused-ignore]  # an extra

    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            names = next(csv.reader(lines, delimiter=separator), [])
    except UnicodeDecodeError as error:
        raise GrowlmError(f"{path}: no UTF-8 text ({error.reason} at byte {error.start}); convert it") from None
    if not names:
        raise GrowlmError(f"{path} is empty: give a file whose first line names the columns")
    if separator == "," and len(names) == 1 and ";" in names[0]:
        raise GrowlmError(f"{path}: its columns are separated by ';': save it with ',', or with tabs as a .tsv file")
    if len(set(names)) < len(names) or not all(names):
        raise GrowlmError(f"{path}: its first line must name the columns, each once (found: {', '.join(names)[:200]})")
    return datasets.Features({name: datasets.Value("string") for name in names})


def _suffix(path: Path) -> str:
    """Return what a file's name ends in, without a compression, in small letters."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""
