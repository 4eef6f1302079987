"""Tasks of published benchmarks: finding them in a user's folder, reading them strictly, drawing samples."""

import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from growlm.data.example import Example, Split
from growlm.errors import GrowlmError, check_at_least
from growlm.files import read_json
from growlm.skills._splits_apart import apart, hold_out
from growlm.skills.metric import require_metric
from growlm.skills.skill import Skill

Cut = Literal["left", "middle"]
_HELD_OUT_SHARE = 0.1


class TaskFiles(Skill):
    """A task that was read from files.

    Attributes:
        left_out: names of the examples taken out of a split because they are in another, too.
    """

    left_out: tuple[str, ...]

    def keep(
        self,
        parts: Mapping[Split, list[Example]],
        where: Path,
        limits: Mapping[Split, int | None],
        cut: Cut | None = None,
        max_prompt: int | None = None,
    ) -> None:
        """Take what was read: every example in one split only, and samples where there are limits.

        Args:
            parts: the examples by split; where nothing is left of validation, a tenth of training is held out for it.
            where: the task's folder or file, for messages.
            limits: the greatest number of examples by split; a sample is drawn, always the same one.
            cut: where tokens are left out of a prompt that is too long; None: nowhere.
            max_prompt: greatest number of tokens of a prompt; None: what the model can see.

        Raises:
            GrowlmError: if there is nothing to train or to test, or a limit is too small.
        """
        require_metric(self.metric)
        if max_prompt is not None and (max_prompt < 2 or cut is None):
            raise GrowlmError(f"max_prompt is {max_prompt}, cut is {cut}: give at least 2 tokens, and where to cut")
        for split, limit in limits.items():
            if limit is not None:
                check_at_least(f"num_{split}", limit, 1)
        for split in parts:
            if not parts[split] and split != "validation":
                raise GrowlmError(f"{where}: the {split} split is empty; give its examples or leave the task out")
        kept, self.left_out = apart(parts, where, may_be_empty=("validation",))
        if not kept["validation"]:
            del kept["validation"]
            hold_out(kept, _HELD_OUT_SHARE, where)
        self._parts = {
            split: [
                example if example.prompt is None or cut is None else replace(example, cut=cut, max_prompt=max_prompt)
                for example in _sample(kept[split], limits.get(split), f"{where.stem}/{split}")
            ]
            for split in parts
        }

    def examples(self, split: Split) -> Iterator[Example]:
        """Yield the split's examples in the files' order."""
        return iter(self._parts[split])


def same_name(one: str, other: str) -> bool:
    """Return whether two names of a task are the same but for case and punctuation, as SST-2 and sst2 are."""
    return _plain(one) == _plain(other)


def subfolders(folder: Path) -> list[Path]:
    """List the folders in a folder by name; none if it is not a folder."""
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def rows(path: Path, content: Any, keys: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a JSON list.

    Args:
        path: the file, for messages.
        content: what was read from it.
        keys: what every row has to hold.

    Yields:
        File and row number, for messages, and the row.

    Raises:
        GrowlmError: naming the first row that is not an object or lacks a key.
    """
    if not isinstance(content, list):
        raise GrowlmError(f"{path}: {type(content).__name__} instead of a list of rows; restore it from a copy")
    for number, row in enumerate(content, 1):
        where = f"{path}, row {number}"
        if not isinstance(row, dict):
            raise GrowlmError(f"{where}: no object; write {{...}}")
        for key in keys:
            if key not in row:
                raise GrowlmError(f"{where}: {key!r} is missing (found: {', '.join(map(repr, row)) or 'none'}); add it")
        yield where, row


def read_rows(path: Path, *keys: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a JSON file that holds a list; see ``rows``."""
    return rows(path, read_json(path), keys)


def words(value: object, where: str) -> str:
    """Return a text if it says something and can be written as UTF-8.

    Raises:
        GrowlmError: for anything else.
    """
    if not isinstance(value, str) or not value.strip():
        raise GrowlmError(f"{where} is {value!r}; a text was expected: correct it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise GrowlmError(f"{where} holds half of a surrogate pair: correct it") from None
    return value


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _sample(examples: list[Example], limit: int | None, seed: str) -> list[Example]:
    if limit is None or limit >= len(examples):
        return examples
    return [examples[index] for index in sorted(random.Random(seed).sample(range(len(examples)), limit))]
