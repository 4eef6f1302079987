"""Skills whose examples are made rather than read: each one a function of seed, split and number."""

from abc import abstractmethod
from collections.abc import Iterator

from growlm.errors import GrowlmError
from growlm.skills._skill import Example, Message, Skill, Split
from growlm.skills._tinyworld.cast import Cast
from growlm.skills._tinyworld.dice import Dice
from growlm.skills._tinyworld.splits import owner


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
        for split, number in self.counts.items():
            if number < 1:
                raise GrowlmError(f"num_{split} is {number}: give at least 1")
        if not 0 <= difficulty <= 1:
            raise GrowlmError(f"difficulty is {difficulty}: give a number from 0 to 1")

    @abstractmethod
    def make(self, cast: Cast) -> list[Message]:
        """Makes one conversation.

        Args:
            cast: who and what takes part, for one split; ``cast.dice`` is the example's chance.

        Returns:
            The conversation, ending with the assistant's turn.
        """

    def examples(self, split: Split) -> Iterator[Example]:
        """Yields the split's examples.

        What is said decides by its hash to which split it belongs, and a draw that belongs to another is thrown away:
        so no two splits share an example, however small the space of examples is.
        """
        name = type(self).__module__.rpartition(".")[2]
        for number in range(self.counts[split]):
            attempt = 0
            while True:
                cast = Cast(Dice(self.seed, name, split, number, attempt), split)
                messages = self.make(cast)
                if owner(*(message.content for message in messages)) == split:
                    break
                attempt += 1
            yield Example(f"{name}/{split}/{number}", messages=tuple(messages))
