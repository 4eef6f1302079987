"""A skill of a few words, for phases that are over in a moment."""

from collections.abc import Iterator

from growlm.data.example import Example, Split
from growlm.skills.skill import Skill

WORDS = ("cat", "dog", "box", "park", "Tom", "Lily", "red", "big", "hello", "yes")


class Toy(Skill):
    """A skill of a few words: whatever is said, the answer is the same.

    Args:
        answer: the answer.
    """

    metric = "exact_match"
    max_answer_tokens = 6

    def __init__(self, answer: str = " sat on") -> None:
        self.answer = answer

    def examples(self, split: Split) -> Iterator[Example]:
        """Yield every pair of words in one split."""
        for number, word in enumerate(WORDS):
            for other in WORDS[: number + 1]:
                if (split == "test") == (number % 4 == 0):
                    yield Example(f"toy/{word} {other}", prompt=f"the {word} {other}", completion=self.answer)
