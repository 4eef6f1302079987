"""What the skills of a user's own data share: the options that say how rows are read, and splits kept apart."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from growlm.data.example import Example, Split
from growlm.data.sources import Row
from growlm.errors import GrowlmError
from growlm.skills._row_examples import OnBad, RowExamples
from growlm.skills._row_shapes import RowReader
from growlm.skills._splits_apart import apart, hold_out
from growlm.skills.skill import Skill

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def check_held_out_share(share: float) -> None:
    """Refuse a share of which nothing, or not enough, would be left.

    Raises:
        GrowlmError: for a share that is not between 0 and 0.5.
    """
    if not 0 < share < 0.5:
        raise GrowlmError(f"held_out_share is {share}: give a number between 0 and 0.5")


class OwnData(Skill):
    """A user's own rows, each with one conversation, prompt with completion, or text.

    Args:
        fields: for each of the names of a row's shape (and ``role``, ``content``), the key that the rows use instead.
        held_out_share: share of the training rows held out for each split that is not given.
        metric: ``loss`` for conversations; ``exact_match`` (default) or ``loss`` for completions; ``bits_per_byte``
            (default) or ``loss`` for text.
        template: how the user's turn is made of ``{instruction}`` and ``{input}``; left out: one below the other.
        strict: refuse keys that nothing is made of, instead of listing them.
        on_bad: refuse a bad row (``error``), or leave it out and say how many there were (``skip``).

    Attributes:
        left_out: names of the examples taken out of a split because another has them, too.
    """

    left_out: tuple[str, ...]
    _parts: dict[str, list[Example]]
    _other_keys: tuple[str, ...] = ()  # of a row, but no part of its example

    def __init__(
        self,
        fields: dict[str, str] | None = None,
        held_out_share: float = 0.1,
        metric: Literal["exact_match", "loss", "bits_per_byte"] | None = None,
        template: str | None = None,
        strict: bool = False,
        on_bad: OnBad = "error",
    ) -> None:
        check_held_out_share(held_out_share)
        self._rows = RowExamples(RowReader(fields, self._other_keys, template, strict), on_bad)
        self._share, self._metric = held_out_share, metric

    def examples(self, split: Split) -> Iterator[Example]:
        """Yield the split's examples in the rows' order."""
        return iter(self._parts[split])

    def _read(self, rows: Iterable[Row], source: str) -> list[tuple[Example, Mapping[str, Any]]]:
        return list(self._rows.read(rows, source))

    def _keep(self, parts: dict[Any, list[Example]], source: str) -> None:
        """Keep what was read, with the splits that are not given held out from training."""
        self.notices = self._rows.notices(source)
        hold_out(parts, self._share, source)
        self._parts, self.left_out = apart(parts, source)
        self.metric = self._rows.metric(self._metric)
