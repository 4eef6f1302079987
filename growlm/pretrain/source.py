"""A source of text to pretrain on: a file, a Hugging Face data set or a skill, and how often it is used."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field as a_field
from pathlib import Path
from typing import Any

from growlm.data.text import read_documents
from growlm.errors import GrowlmError, needs_extra
from growlm.files import file_digest
from growlm.registry import skills
from growlm.skills.skill import Skill


@dataclass(frozen=True)
class TextSource:
    """Where text comes from and how often it is used.

    Args:
        path: a file: ``.jsonl`` with one document per line, or plain text with ``<|endoftext|>`` between documents.
        hub: instead of a file, the name of a Hugging Face data set (needs ``pip install growlm[data]``).
        skill: instead of a file, the name of a skill whose training examples are plain texts, such as ``stories``.
        skill_options: the skill's options.
        split: split of the Hugging Face data set.
        field: the field that holds the text, for JSONL and Hugging Face data sets.
        repeat: passes over this source in one epoch; a fraction takes another random share in every epoch.
        max_bytes: take only the first documents, as many as fit into this number of bytes of UTF-8.
        new_names: replace first names and some things by new ones, as ``growlm.tinyworld.rename`` does: what is in no
            other text has to be copied from the text before. Documents without a name that is known are left out.
        word_lists: instead of each document, read a list of some of its words and of new ones that comes twice, as
            ``growlm.tinyworld.word_lists`` makes it: a small share of such text teaches to copy anything.
    """

    path: str | None = None
    hub: str | None = None
    skill: str | None = None
    skill_options: dict[str, Any] = a_field(default_factory=dict[str, Any])
    split: str = "train"
    field: str = "text"
    repeat: float = 1.0
    max_bytes: int | None = None
    new_names: bool = False
    word_lists: bool = False

    def __post_init__(self) -> None:
        if sum(origin is not None for origin in (self.path, self.hub, self.skill)) != 1:
            raise GrowlmError("a text source needs path, hub or skill: give exactly one of them")
        if self.skill_options and self.skill is None:
            raise GrowlmError(f"{self.name}: skill_options are for a skill: leave them out")
        if self.new_names and self.word_lists:
            raise GrowlmError(f"{self.name}: word_lists have new names anyway: leave new_names out")
        if self.repeat <= 0:
            raise GrowlmError(f"{self.name}: repeat is {self.repeat}, but has to be above 0; leave the source out")

    @property
    def name(self) -> str:
        """What messages and cards call the source."""
        return self.hub or self.skill or Path(self.path or "").name

    def digest(self) -> str:
        """Compute a SHA-256 over the content (of a data set, its name and fingerprint) and what is taken of it."""
        if self.skill is not None:
            content = self._skill().digest("train")
        else:
            content = file_digest(self._file()) if self.hub is None else self._dataset()._fingerprint
        changes = [name for name in ("new_names", "word_lists") if getattr(self, name)]
        taken = [content, self.split, self.field, self.max_bytes, *changes]
        return hashlib.sha256(json.dumps(taken).encode()).hexdigest()

    def documents(self) -> Iterator[str]:
        """Yield the documents, stripped of white space around them, empty ones left out.

        Raises:
            GrowlmError: if the source is missing or malformed.
        """
        taken = 0
        for document in self._changed() if self.new_names or self.word_lists else self._all():
            text = document.strip()
            taken += len(text.encode())
            if self.max_bytes is not None and taken > self.max_bytes:
                return
            if text:
                yield text

    def _changed(self) -> Iterator[str]:
        # here, since the command line reads this file before it knows whether any names are wanted
        from growlm.tinyworld.cast import Cast
        from growlm.tinyworld.dice import Dice
        from growlm.tinyworld.rename import rename
        from growlm.tinyworld.word_lists import word_list

        seed, change = ("word list", word_list) if self.word_lists else ("rename", rename)
        for number, document in enumerate(self._all()):
            changed = change(document, Cast(Dice(seed, number), "train", hold_out=False, new_names=1.0))
            if changed is not None:
                yield changed

    def _all(self) -> Iterator[str]:
        if self.skill is not None:
            return self._told()
        if self.hub is not None:
            return (row[self.field] for row in self._dataset())
        return read_documents(self._file(), self.field)

    def _file(self) -> Path:
        path = Path(self.path or "").expanduser()
        if not path.is_file():
            raise GrowlmError(f"{path} is missing: put the text there or change the recipe's sources")
        return path

    def _skill(self) -> Skill:
        assert self.skill is not None
        return skills.build(self.skill, self.skill_options)

    def _told(self) -> Iterator[str]:
        for example in self._skill().examples("train"):
            if example.text is None:
                raise GrowlmError(f"skill {self.skill!r} has no plain texts: take one that has, such as 'stories'")
            yield example.text

    def _dataset(self) -> Any:
        try:
            from datasets import load_dataset  # type: ignore[import-not-found, import-untyped, unused-ignore]  # an extra
        except ImportError:
            raise needs_extra(f"{self.hub}", "datasets", "data") from None
        try:
            return load_dataset(self.hub, split=self.split)
        except (OSError, ValueError) as error:
            raise GrowlmError(f"{self.hub} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
