"""Plain stories: what the base itself is good at, to measure that it stays so."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from growlm.data.example import Example, Split
from growlm.errors import GrowlmError
from growlm.skills.procedural import check_counts, draw_one, skill_name
from growlm.skills.skill import Skill
from growlm.tinyworld.cast import Cast, owner
from growlm.tinyworld.stories import draw_tale

_SEPARATOR = "<|endoftext|>"


class Stories(Skill):
    """Plain stories: what the base itself is good at, to measure that it stays so.

    Args:
        file: a text file with ``<|endoftext|>`` between the stories; a tenth of them, chosen by a hash of the story,
            is validation and another the test. Left out: TinyWorld's stories.
        num_train: number of training stories, fewer if the file holds fewer.
        num_validation: number of validation stories, fewer if the file holds fewer.
        num_test: number of test stories, fewer if the file holds fewer.
        seed: another seed gives other stories; without effect on a file.
    """

    metric = "bits_per_byte"

    def __init__(
        self,
        file: str | None = None,
        num_train: int = 6_000,
        num_validation: int = 200,
        num_test: int = 200,
        seed: int = 0,
    ) -> None:
        self.file = Path(file).expanduser() if file else None
        self.counts: dict[Split, int] = {"train": num_train, "validation": num_validation, "test": num_test}
        self.seed = seed
        check_counts(self.counts)
        if self.file and not self.file.is_file():
            raise GrowlmError(f"{self.file} is missing: give a text file with {_SEPARATOR} between stories")

    def examples(self, split: Split) -> Iterator[Example]:
        """Yield the split's stories.

        Raises:
            GrowlmError: if the file is not UTF-8 text or has no story for the split.
        """
        found = False
        for name, text in islice(self._texts(split), self.counts[split]):
            found = True
            yield Example(name, text=text)
        if not found:
            raise GrowlmError(f"{self.file} holds no story for {split}: give a file with more stories")

    def _texts(self, split: Split) -> Iterator[tuple[str, str]]:
        if self.file is None:
            name = skill_name(self)
            return (
                (
                    f"{name}/{split}/{number}",
                    draw_one((self.seed, name), split, number, _tell, lambda text: (text,)),
                )
                for number in range(self.counts[split])
            )
        return _documents(self.file, split)


def _tell(cast: Cast) -> str:
    return draw_tale(cast).text


def _documents(file: Path, split: Split) -> Iterator[tuple[str, str]]:
    try:
        stories = file.read_text(encoding="utf-8").split(_SEPARATOR)
    except UnicodeDecodeError as error:
        raise GrowlmError(f"{file} is not UTF-8 text ({error}): convert it") from None
    for number, story in enumerate(stories, 1):
        text = story.strip()
        if text and owner(text) == split:
            yield f"{file.name}:story {number}", text
