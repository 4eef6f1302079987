"""Your own data: files with one conversation, prompt with completion, or text per row."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from growlm.data.example import Example, Split
from growlm.data.sources import data_files, read_rows
from growlm.errors import GrowlmError, unknown_name
from growlm.skills._own_data import SPLITS, OwnData


class Jsonl(OwnData):
    """Your own data: files with one conversation, prompt with completion, or text per row.

    Files end in ``.jsonl``, ``.json`` (a list of objects), ``.csv``, ``.tsv``, ``.parquet`` or ``.txt``, each also with
    ``.gz``, ``.xz`` or ``.zst``; tables need ``pip install 'growlm[data]'``. A row has one of these shapes, which is
    found by its keys: ``messages`` (a list of ``{"role", "content"}``, after a system turn if there is one; an
    assistant's turn with ``"weight": 0`` is read and not trained; ``tool`` turns, ``tool_calls`` and ``tools`` go to
    the chat template); ShareGPT's ``conversations``; ``turns`` (a list of strings, the user's first); ``prompt`` with
    ``completion`` (and optionally ``choices``; messages are taken, too); Alpaca's ``instruction`` with ``output`` (and
    ``input``); ``chosen`` with ``rejected``, of which the chosen side is trained; or ``text``. A conversation's last
    turn is left out if it is not the assistant's. All rows have the same shape; the first bad one is refused by file
    and row. An example that several splits have stays in one only: in the test rather than in validation, in
    validation rather than in training.

    Args:
        train: a file, a glob, or a folder, whose files called train, validation and test are these splits.
        validation: another, for validation; left out: a share of ``train``, chosen by a hash of the content.
        test: another, for the test; left out: as for validation.
        split_field: key that names the split a row of ``train`` belongs to; needs ``splits``.
        splits: for ``train``, ``validation`` and ``test``, the values of ``split_field`` that mean it; rows with
            other values are left out. A split that is not given is held out from ``train``.
        options: how rows are read and scored: the options of ``OwnData``.
    """

    def __init__(
        self,
        train: str,
        validation: str | None = None,
        test: str | None = None,
        split_field: str | None = None,
        splits: dict[str, list[str]] | None = None,
        **options: Any,
    ) -> None:
        if (split_field is None) != (splits is None):
            raise GrowlmError("split_field and splits belong together: give both or neither")
        for name in splits or {}:
            if name not in SPLITS:
                raise unknown_name("split", name, SPLITS)
        self._other_keys = (split_field,) if split_field else ()
        super().__init__(**options)
        files = data_files(train)
        parts = self._read_parts(files.pop("train"), split_field, splits)
        given = [*files.items(), *((name, [Path(file)]) for name, file in _named(validation, test) if file is not None)]
        for name, paths in given:
            if name in parts:
                raise GrowlmError(f"{name} is given twice, by a file and by splits: give one of them")
            parts[name] = [example for example, _ in self._read_files(paths)]
        self._keep(parts, train)

    def _read_parts(
        self, paths: Sequence[Path], split_field: str | None, splits: Mapping[str, Sequence[str]] | None
    ) -> dict[str, list[Example]]:
        if split_field is None or splits is None:
            return {"train": [example for example, _ in self._read_files(paths)]}
        rows = [(example, _split_value(row, split_field, example.name)) for example, row in self._read_files(paths)]
        values = sorted({value for _, value in rows})
        parts: dict[str, list[Example]] = {}
        for name, wanted in {"train": (), **splits}.items():
            parts[name] = [example for example, value in rows if value in wanted]
            if not parts[name]:
                raise GrowlmError(
                    f"{paths[0]}: no row for {name}: {split_field!r} is never one of {list(wanted)}; it is {values}"
                )
        return parts

    def _read_files(self, paths: Sequence[Path]) -> Iterator[tuple[Example, Mapping[str, Any]]]:
        for path in paths:
            yield from self._read(read_rows(path.expanduser()), path.name)


def _named(validation: str | None, test: str | None) -> tuple[tuple[Split, str | None], ...]:
    return ("validation", validation), ("test", test)


def _split_value(row: Mapping[str, Any], field: str, name: str) -> str:
    if not isinstance(row.get(field), str):
        raise GrowlmError(f"{name}: {field!r} is missing or no string; it has to name the split")
    return str(row[field])
