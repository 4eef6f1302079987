"""Skills whose examples are made rather than read: each one a function of seed, split and number."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from growlm.data.example import Example, Message, Split
from growlm.errors import GrowlmError, check_at_least
from growlm.skills.metric import Metric
from growlm.skills.skill import Skill
from growlm.tinyworld.cast import Cast, owner
from growlm.tinyworld.dice import Dice, first_fitting
from growlm.tinyworld.problem import Problem, facts_said, in_turn, turn

T = TypeVar("T")
LONGEST_ANSWER = 200
"""In tokens; the longest programs have as many. A model that does not stop costs its full length."""
EDITION = 2
"""Of the examples: growlm 0.1 made the first edition."""
QUESTIONS = 4
"""Greatest number of questions that training asks about the same facts: more is learned from as many tokens."""
_NEW_NAMES = 0.5
"""Share of the names that are new."""


class Procedural(Skill):
    """A skill made from TinyWorld.

    Attributes:
        new_names_in_training: share of the names in training that are new, as ``Cast`` has them: these can
            only be copied.

    Args:
        num_train: number of training examples.
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0, the easiest, to 1.
        hold_out_words: keep some words of the lexicon for validation and test, to see how the skill does on words that
            it was not trained on; else training covers all words, and only names are new.
        edition: of the examples; 2 is the only one that this version makes.
    """

    metric: Metric = "final_answer"
    max_answer_tokens = LONGEST_ANSWER
    new_names_in_training = _NEW_NAMES

    def __init__(
        self,
        num_train: int = 6_000,
        num_validation: int = 200,
        num_test: int = 200,
        seed: int = 0,
        difficulty: float = 0.5,
        hold_out_words: bool = False,
        edition: int = EDITION,
    ) -> None:
        self.counts: dict[Split, int] = {"train": num_train, "validation": num_validation, "test": num_test}
        self.seed = seed
        self.difficulty = difficulty
        check_counts(self.counts)
        self.hold_out_words = hold_out_words
        self._drawn: dict[Split, list[Example]] = {}
        check_difficulty(difficulty)
        check_edition(skill_name(self), edition)

    @abstractmethod
    def make(self, cast: Cast) -> list[Message]:
        """Make one conversation.

        Args:
            cast: who and what takes part, for one split; ``cast.dice`` is the example's chance.

        Returns:
            The conversation, ending with the assistant's turn.
        """

    def hashed(self, messages: Sequence[Message]) -> Iterable[str]:
        """Return what of a conversation decides to which split it belongs: the content of each turn."""
        return words_said(messages)

    def examples(self, split: Split) -> Iterator[Example]:
        """Yield the split's examples; each is drawn once and kept."""
        name, kept = skill_name(self), self._drawn.setdefault(split, [])
        for number in range(self.counts[split]):
            if number == len(kept):
                messages = draw_one((self.seed, name), split, number, self.make, self.hashed, cast=self._cast)
                kept.append(Example(f"{name}/{split}/{number}", messages=tuple(messages)))
            yield kept[number]

    def _cast(self, dice: Dice, split: Split) -> Cast:
        if self.hold_out_words:
            return Cast(dice, split)
        return new_cast(dice, split, self.new_names_in_training if split == "train" else _NEW_NAMES)


class AboutFacts(Procedural):
    """A skill that asks about facts, in training several questions about the same ones.

    Attributes:
        ask_once: makes facts and one question about them, from the cast and the difficulty.
        ask_often: makes facts and several questions, at most as many as the third argument.
    """

    history = "problem"
    ask_once: Callable[[Cast, float], Problem]
    ask_often: Callable[[Cast, float, int], list[Problem]]

    def hashed(self, messages: Sequence[Message]) -> tuple[str]:
        """Return the facts: whatever is asked about them belongs to one split."""
        return (facts_said(messages),)

    def make(self, cast: Cast) -> list[Message]:
        """Make one example."""
        kind = type(self)
        if cast.split == "train":
            return in_turn(kind.ask_often(cast, self.difficulty, QUESTIONS))
        return turn(kind.ask_once(cast, self.difficulty))


def new_cast(dice: Dice, split: Split, new_names: float = _NEW_NAMES) -> Cast:
    """Make a cast of all words, with new names for a share of the people, by default half."""
    return Cast(dice, split, hold_out=False, new_names=new_names)


def draw_one(
    seed: tuple[object, ...],
    split: Split,
    number: int,
    make: Callable[[Cast], T],
    key: Callable[[T], Iterable[str]],
    owned: tuple[Split, ...] = (),
    cast: Callable[[Dice, Split], Cast] = Cast,
) -> T:
    """Make one of those that belong to a split.

    What is made decides by its hash to which split it belongs, and a draw that belongs to another is thrown away: so
    no two splits share anything, however small the space is.

    Args:
        seed: what the draws are a function of, beside split and number.
        split: the split.
        number: its number in the split.
        make: makes one.
        key: what of it is hashed.
        owned: the splits whose share it takes; its own if left out.
        cast: makes the cast of each draw.

    Returns:
        What was made; the same for the same arguments.

    Raises:
        GrowlmError: if hardly anything that is made belongs to the split.
    """
    taken = owned or (split,)

    def belonging(attempt: int) -> T | None:
        made = make(cast(Dice(*seed, split, number, attempt), split))
        return made if owner(*key(made)) in taken else None

    return first_fitting(f"example of the {split} split", belonging)


def check_counts(counts: Mapping[Split, int]) -> None:
    """Refuse numbers of examples below 1.

    Raises:
        GrowlmError: naming the option.
    """
    for split, number in counts.items():
        check_at_least(f"num_{split}", number, 1)


def check_difficulty(difficulty: float) -> None:
    """Refuse a difficulty outside 0 to 1.

    Raises:
        GrowlmError: with the range.
    """
    if not 0 <= difficulty <= 1:
        raise GrowlmError(f"difficulty is {difficulty}: give a number from 0 to 1")


def check_edition(name: str, edition: int) -> None:
    """Refuse an edition of the examples that this version does not make.

    Raises:
        GrowlmError: naming the version that makes it.
    """
    if edition != EDITION:
        raise GrowlmError(
            f"edition {edition} of skill {name!r}: this version makes edition {EDITION}; growlm 0.1 makes 1"
        )


def skill_name(skill: Skill) -> str:
    """Return the name of the file that a skill's class is in."""
    return type(skill).__module__.rpartition(".")[2]


def words_said(messages: Sequence[Message]) -> Iterator[str]:
    """Yield the content of each turn: what a conversation is hashed by."""
    return (message.content for message in messages)
