"""Any Hugging Face data set, by its name on the hub or from a local copy, with its fields mapped in a recipe."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from growlm.data.example import Example, Split
from growlm.data.sources import SAVED_DATASET, Row
from growlm.errors import GrowlmError, check_at_least, needs_extra, one_line, unknown_name
from growlm.skills._own_data import SPLITS, check_held_out_share
from growlm.skills._row_examples import OnBad, RowExamples
from growlm.skills._row_shapes import RowReader
from growlm.skills._splits_apart import hold_out
from growlm.skills._task_files import Cut, TaskFiles
from growlm.skills.metric import Metric, Scoring
from growlm.terminal import counted

_TEMPLATES = ("prompt", "completion", "text")
_OF_A_TURN = ("role", "content")
_PLACE = re.compile(r"\{([\w.-]+)\}")


class Hub(TaskFiles):
    """Any Hugging Face data set, by name, with its fields mapped in a recipe (needs ``pip install 'growlm[data]'``).

    A row becomes one of four shapes, as in ``jsonl``: ``messages``, ``turns``, ``prompt`` with ``completion``, or
    ``text``. Nothing of the data set is executed. Examples that are in several splits stay in one only.

    Args:
        dataset: its name on the hub; or a folder written by ``save_to_disk``, or one with JSON, CSV or Parquet files.
        config: which of its configurations.
        revision: which of its versions, a tag or commit of the hub.
        splits: for ``train``, ``validation`` and ``test``, the data set's names of them; left out: the same names
            where it has them. What it has not is held out from training.
        fields: for each of the shapes' names (and ``choices``, ``role``, ``content``), the key of the rows; ``a.b`` is
            key ``b`` in ``a``, ``a.0`` the first of a list.
        template: for ``prompt``, ``completion`` or ``text``, a text with ``{key}`` where the row's value comes in,
            instead of a key in ``fields``.
        labels: for a key whose values are numbers from 0, what they mean; left out: what the data set says. A
            completion with one such key gets the labels as its choices.
        metric: left out: ``label_match`` where there are choices, ``exact_match`` for other completions, ``loss`` for
            conversations, ``bits_per_byte`` for text.
        scoring: how the model is asked for its answer.
        cut: where tokens are left out of a prompt that is too long; left out: nowhere.
        max_prompt: greatest number of tokens of a prompt that the model is given, in training and tests alike; None:
            what the base can see. A router sees the whole prompt.
        held_out_share: share of training held out for each split that the data set has not.
        num_train: size of the sample to train on.
        num_test: size of the sample to test on.
        max_answer_tokens: how long a generated answer may become.
        strict: refuse keys that nothing is made of, instead of listing them; of mapped rows no key is left over.
        on_bad: refuse a bad row (``error``), or leave it out and say how many there were (``skip``).
    """

    def __init__(
        self,
        dataset: str,
        config: str | None = None,
        revision: str | None = None,
        splits: dict[str, str] | None = None,
        fields: dict[str, str] | None = None,
        template: dict[str, str] | None = None,
        labels: dict[str, list[str]] | None = None,
        metric: Metric | None = None,
        scoring: Scoring = "generation",
        cut: Cut | None = None,
        max_prompt: int | None = None,
        held_out_share: float = 0.1,
        num_train: int | None = None,
        num_test: int | None = None,
        max_answer_tokens: int = 96,
        strict: bool = False,
        on_bad: OnBad = "error",
    ) -> None:
        check_held_out_share(held_out_share)
        check_at_least("max_answer_tokens", max_answer_tokens, 1)
        self.scoring, self.max_answer_tokens = scoring, max_answer_tokens
        loaded = _load(dataset, config, revision)
        rows = _Rows(dataset, fields or {}, template or {}, labels or {})
        examples = RowExamples(rows.reader(strict), on_bad)
        parts = {
            split: [example for example, _ in examples.read(rows.read(loaded[name]), Path(dataset).name)]
            for split, name in _split_names(loaded, splits, dataset).items()
        }
        self.notices = examples.notices(dataset)
        hold_out(parts, held_out_share, dataset)
        self.metric = metric or _usual_metric(parts["train"][0])
        self.keep(parts, Path(dataset), {"train": num_train, "test": num_test}, cut, max_prompt)


class _Rows:
    """Maps the fields of a data set's rows."""

    def __init__(
        self,
        dataset: str,
        fields: Mapping[str, str],
        template: Mapping[str, str],
        labels: Mapping[str, list[str]],
    ) -> None:
        for name in template:
            if name not in _TEMPLATES:
                raise unknown_name("name in template", name, _TEMPLATES)
            if name in fields:
                raise GrowlmError(f"{name} is given twice, in fields and in template: give one of them")
        self._dataset = dataset
        RowReader(fields)  # refuses a name that is none
        self._fields = {name: key for name, key in fields.items() if name not in _OF_A_TURN}
        self._of_turns = {name: key for name, key in fields.items() if name in _OF_A_TURN}
        completion = {"completion": f"{{{fields['completion']}}}"} if "completion" in fields else {}
        self._template = {**completion, **template}
        self._labels = labels

    def reader(self, strict: bool) -> RowReader:
        """Build what turns the mapped rows into examples."""
        return RowReader(self._of_turns, strict=strict)

    def read(self, table: Any) -> Iterator[Row]:
        """Yield the rows of a split, mapped."""
        labels = {**_own_labels(table), **self._labels}
        for number, row in enumerate(table, 1):
            where = f"{self._dataset}, row {number}"
            try:
                yield where, self._mapped(row, where, labels)
            except GrowlmError as error:
                yield where, error

    def _mapped(self, row: Mapping[str, Any], where: str, labels: Mapping[str, list[str]]) -> dict[str, Any]:
        named = {**row, **{key: _label(row, key, names, where) for key, names in labels.items() if key in row}}
        mapped: dict[str, Any] = {name: _value(named, key, where) for name, key in self._fields.items()}
        mapped |= {name: _filled(template, named, where) for name, template in self._template.items()}
        choosing = _PLACE.findall(self._template.get("completion", ""))
        if len(choosing) == 1 and choosing[0] in labels and "choices" not in mapped:
            template = self._template["completion"]
            mapped["choices"] = [_filled(template, {choosing[0]: label}, where) for label in labels[choosing[0]]]
        return mapped or named


def _load(dataset: str, config: str | None, revision: str | None) -> Any:
    try:
        import datasets  # type: ignore[import-not-found, import-untyped, unused-ignore]  # an extra
    except ImportError:
        raise needs_extra(dataset, "datasets", "data") from None
    folder = Path(dataset).expanduser()
    try:
        if any((folder / name).is_file() for name in SAVED_DATASET):
            loaded = datasets.load_from_disk(str(folder))
        else:
            loaded = datasets.load_dataset(str(folder) if folder.is_dir() else dataset, config, revision=revision)
    # an IndexError is what the package itself makes of a saved split without rows
    except (OSError, ValueError, RuntimeError, IndexError, datasets.exceptions.DatasetsError) as error:
        where = "" if folder.exists() else " from the hub, and no file or folder here has that name"
        raise GrowlmError(f"{dataset} cannot be loaded{where}: {one_line(str(error))[:300]}") from error
    return loaded if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}


def _split_names(loaded: Mapping[str, Any], splits: Mapping[str, str] | None, dataset: str) -> dict[Split, str]:
    for name in splits or {}:
        if name not in SPLITS:
            raise unknown_name("split", name, SPLITS)
    same: dict[str, str] = {name: name for name in SPLITS if name in loaded}
    wanted = dict(splits) if splits else same
    found: dict[Split, str] = {split: wanted[split] for split in SPLITS if split in wanted}
    for name in found.values():
        if name not in loaded:
            raise unknown_name(f"split of {dataset}", name, loaded)
        if len(loaded[name]) == 0:
            raise GrowlmError(f"{dataset}: its split {name!r} is empty; name another in splits")
    if "train" not in found:
        raise GrowlmError(f"{dataset}: nothing to train on; name one of its splits ({', '.join(loaded)}) in splits")
    if len(set(found.values())) < len(found):
        raise GrowlmError(f"{dataset}: splits names {', '.join(found.values())}; each of them has to be another one")
    return found


def _own_labels(table: Any) -> dict[str, list[str]]:
    """Find what a data set itself says that its numbers mean."""
    return {key: list(feature.names) for key, feature in table.features.items() if hasattr(feature, "names")}


def _label(row: Mapping[str, Any], key: str, names: list[str], where: str) -> str:
    value = row[key]
    if isinstance(value, str) and value in names:
        return value
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < len(names):
        raise GrowlmError(
            f"{where}: {key!r} is {value!r}, which is none of its {counted(len(names), 'label')}; correct labels"
        )
    return names[value]


def _value(row: Any, key: str, where: str) -> Any:
    """Look up ``a``, ``a.b`` or ``a.0``."""
    if isinstance(row, Mapping) and key in row:
        return row[key]
    value = row
    for part in key.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            keys: Iterable[str] = row if isinstance(row, Mapping) else ()
            raise unknown_name(f"key in {where}", key, map(str, keys))
    return value


def _filled(template: str, row: Mapping[str, Any], where: str) -> str:
    return _PLACE.sub(lambda found: str(_value(row, found[1], where)), template)


def _usual_metric(example: Example) -> Metric:
    if example.text is not None:
        return "bits_per_byte"
    if example.messages:
        return "loss"
    return "label_match" if example.choices else "exact_match"
