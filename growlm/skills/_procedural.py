"""Skills whose examples are made rather than read: each one a function of seed, split and number."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import ClassVar, TypeVar

from growlm.data.example import Example, Message, Split
from growlm.errors import GrowlmError
from growlm.skills.skill import Skill
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.dice import Dice
from growlm.tinyworld.splits import owner
from growlm.tinyworld.tries import first_fitting

T = TypeVar("T")
LONGEST_ANSWER = 48
"""In tokens; the answers of these skills have 30 at most, and a model that does not stop costs its full length."""


class Procedural(Skill):
    """A skill made from TinyWorld.

    Args:
        num_train: number of training examples.
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0, the easiest, to 1.
    """

    metric = "contains"
    max_answer_tokens = LONGEST_ANSWER

    def __init__(
        self,
        num_train: int = 6_000,
        num_validation: int = 200,
        num_test: int = 200,
        seed: int = 0,
        difficulty: float = 0.5,
    ) -> None:
        self.counts: dict[Split, int] = {"train": num_train, "validation": num_validation, "test": num_test}
        self.seed = seed
        self.difficulty = difficulty
        check_counts(self.counts)
        check_difficulty(difficulty)

    @abstractmethod
    def make(self, cast: Cast) -> list[Message]:
        """Makes one conversation.

        Args:
            cast: who and what takes part, for one split; ``cast.dice`` is the example's chance.

        Returns:
            The conversation, ending with the assistant's turn.
        """

    def examples(self, split: Split) -> Iterator[Example]:
        """Yields the split's examples."""
        name = skill_name(self)
        drawn = draw((self.seed, name), split, self.counts[split], self.make, _words_said)
        for number, messages in enumerate(drawn):
            yield Example(f"{name}/{split}/{number}", messages=tuple(messages))


class Composite(Skill):
    """A skill that needs several others at once, to test whether what was learned apart combines; never trained.

    Args:
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0, the easiest, to 1.

    Attributes:
        parts: names of the skills that an example needs, all of them.
    """

    metric = "contains"
    max_answer_tokens = LONGEST_ANSWER
    parts: ClassVar[tuple[str, ...]]

    def __init__(self, num_validation: int = 200, num_test: int = 200, seed: int = 0, difficulty: float = 0.5) -> None:
        self.counts: dict[Split, int] = {"validation": num_validation, "test": num_test}
        self.seed = seed
        self.difficulty = difficulty
        check_counts(self.counts)
        check_difficulty(difficulty)

    @abstractmethod
    def make(self, cast: Cast) -> list[Message]:
        """Makes one conversation, of which the last turn is scored.

        Args:
            cast: who and what takes part, for one split; ``cast.dice`` is the example's chance.

        Returns:
            The conversation.
        """

    def examples(self, split: Split) -> Iterator[Example]:
        """Yields the split's examples.

        Raises:
            GrowlmError: for the training split, which there is none of.
        """
        name = skill_name(self)
        if split not in self.counts:
            raise GrowlmError(
                f"skill {name!r} tests {' and '.join(self.parts)} together and has nothing to train on; train those"
            )
        # there is no training split to keep clear of: the test takes all that validation does not
        owned: tuple[Split, ...] = ("validation",) if split == "validation" else ("test", "train")
        drawn = draw((self.seed, name), split, self.counts[split], self.make, _words_said, owned)
        for number, messages in enumerate(drawn):
            yield Example(f"{name}/{split}/{number}", messages=tuple(messages))


def draw(
    seed: tuple[object, ...],
    split: Split,
    count: int,
    make: Callable[[Cast], T],
    key: Callable[[T], Iterable[str]],
    owned: tuple[Split, ...] = (),
) -> Iterator[T]:
    """Makes what belongs to a split.

    What is made decides by its hash to which split it belongs, and a draw that belongs to another is thrown away: so
    no two splits share anything, however small the space is.

    Args:
        seed: what the draws are a function of, beside split and number.
        split: the split.
        count: how many are wanted.
        make: makes one.
        key: what of it is hashed.
        owned: the splits whose share it takes; its own if left out.

    Yields:
        So many, the first ones always the same, however many are wanted.

    Raises:
        GrowlmError: if hardly anything that is made belongs to the split.
    """
    taken = owned or (split,)
    for number in range(count):

        def belonging(attempt: int, number: int = number) -> T | None:
            made = make(Cast(Dice(*seed, split, number, attempt), split))
            return made if owner(*key(made)) in taken else None

        yield first_fitting(f"example of the {split} split", belonging)


def check_counts(counts: Mapping[Split, int]) -> None:
    """Refuses numbers of examples below 1.

    Raises:
        GrowlmError: naming the option.
    """
    for split, number in counts.items():
        if number < 1:
            raise GrowlmError(f"num_{split} is {number}: give at least 1")


def check_difficulty(difficulty: float) -> None:
    """Refuses a difficulty that is none.

    Raises:
        GrowlmError: saying what it may be.
    """
    if not 0 <= difficulty <= 1:
        raise GrowlmError(f"difficulty is {difficulty}: give a number from 0 to 1")


def skill_name(skill: Skill) -> str:
    """Gives the name of the file that a skill's class is in."""
    return type(skill).__module__.rpartition(".")[2]


def _words_said(messages: list[Message]) -> Iterator[str]:
    return (message.content for message in messages)
