"""A list of words, apart for each split."""

from collections.abc import Iterator
from dataclasses import dataclass

from growlm.data.example import Split


def listed(text: str) -> tuple[str, ...]:
    """Splits a text into its words."""
    return tuple(text.split())


@dataclass(frozen=True)
class Words:
    """Words of one sort: those met in training, and those kept for validation and for the test.

    Args:
        train: words that occur in every split.
        validation: words that occur in validation only.
        test: words that occur in the test only.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def own(self, split: Split) -> tuple[str, ...]:
        """Gives the words that no other split introduces; those met in training for the training split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]

    def __iter__(self) -> Iterator[str]:
        return iter((*self.train, *self.validation, *self.test))

    def __contains__(self, word: object) -> bool:
        return word in self.train or word in self.validation or word in self.test
