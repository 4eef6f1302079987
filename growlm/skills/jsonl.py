"""Your own data: files with one conversation, prompt with completion, or text per row."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from growlm.data.example import Example, Split
from growlm.data.sources import data_files, read_rows
from growlm.errors import GrowlmError, unknown_name
from growlm.skills._row_examples import OnBad, RowExamples
from growlm.skills._row_shapes import RowReader
from growlm.skills._splits_apart import apart, hold_out
from growlm.skills.skill import Skill

_SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Jsonl(Skill):
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
        fields: for each of the names above (and ``role``, ``content``), the key that the rows use instead.
        split_field: key that names the split a row of ``train`` belongs to; needs ``splits``.
        splits: for ``train``, ``validation`` and ``test``, the values of ``split_field`` that mean it; rows with
            other values are left out. A split that is not given is held out from ``train``.
        held_out_share: share of ``train`` held out for each split that is not given.
        metric: ``loss`` for conversations; ``exact_match`` (default) or ``loss`` for completions; ``bits_per_byte``
            (default) or ``loss`` for text.
        template: how the user's turn is made of ``{instruction}`` and ``{input}``; left out: one below the other.
        strict: refuse keys that nothing is made of, instead of listing them.
        on_bad: refuse a bad row (``error``), or leave it out and say how many there were (``skip``).

    Attributes:
        left_out: names of the examples taken out of a split because another has them, too.
    """

    def __init__(
        self,
        train: str,
        validation: str | None = None,
        test: str | None = None,
        fields: dict[str, str] | None = None,
        split_field: str | None = None,
        splits: dict[str, list[str]] | None = None,
        held_out_share: float = 0.1,
        metric: Literal["exact_match", "loss", "bits_per_byte"] | None = None,
        template: str | None = None,
        strict: bool = False,
        on_bad: OnBad = "error",
    ) -> None:
        if (split_field is None) != (splits is None):
            raise GrowlmError("split_field and splits belong together: give both or neither")
        for name in splits or {}:
            if name not in _SPLITS:
                raise unknown_name("split", name, _SPLITS)
        if not 0 < held_out_share < 0.5:
            raise GrowlmError(f"held_out_share is {held_out_share}: give a number between 0 and 0.5")
        reader = RowReader(fields, (split_field,) if split_field else (), template, strict)
        self._rows = RowExamples(reader, on_bad)
        files = data_files(train)
        parts = self._read_parts(files.pop("train"), split_field, splits)
        given = [*files.items(), *((name, [Path(file)]) for name, file in _named(validation, test) if file is not None)]
        for name, paths in given:
            if name in parts:
                raise GrowlmError(f"{name} is given twice, by a file and by splits: give one of them")
            parts[name] = [example for example, _ in self._read(paths)]
        self.notices = self._rows.notices(train)
        hold_out(parts, held_out_share, Path(train))
        self._parts, self.left_out = apart(parts, Path(train))
        self.metric = self._rows.metric(metric)

    def examples(self, split: Split) -> Iterator[Example]:
        """Yield the split's examples in the file's order."""
        return iter(self._parts[split])

    def _read_parts(
        self, paths: Sequence[Path], split_field: str | None, splits: Mapping[str, Sequence[str]] | None
    ) -> dict[str, list[Example]]:
        if split_field is None or splits is None:
            return {"train": [example for example, _ in self._read(paths)]}
        rows = [(example, _split_value(row, split_field, example.name)) for example, row in self._read(paths)]
        values = sorted({value for _, value in rows})
        parts: dict[str, list[Example]] = {}
        for name, wanted in {"train": (), **splits}.items():
            parts[name] = [example for example, value in rows if value in wanted]
            if not parts[name]:
                raise GrowlmError(
                    f"{paths[0]}: no row for {name}: {split_field!r} is never one of {list(wanted)}; it is {values}"
                )
        return parts

    def _read(self, paths: Sequence[Path]) -> Iterator[tuple[Example, Mapping[str, Any]]]:
        for path in paths:
            yield from self._rows.read(read_rows(path.expanduser()), path.name)


def _named(validation: str | None, test: str | None) -> tuple[tuple[Split, str | None], ...]:
    return ("validation", validation), ("test", test)


def _split_value(row: Mapping[str, Any], field: str, name: str) -> str:
    if not isinstance(row.get(field), str):
        raise GrowlmError(f"{name}: {field!r} is missing or no string; it has to name the split")
    return str(row[field])
