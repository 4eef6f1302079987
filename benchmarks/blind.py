"""What skills score without the question: ``python benchmarks/blind.py --stack checkpoints/stack``.

For every skill of a stack, by whole answers: guessing among the choices (chance), and the best constant answer
(majority). By token accuracy: who has learned only which token follows the last few of an answer most often (blind),
and who answers on the skill's own path (own).
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from jsonargparse import auto_cli

from growlm.data.encode import Encoded, encode
from growlm.data.example import Split
from growlm.metrics.scoring import score
from growlm.registry import skills
from growlm.skills.skill import Skill
from growlm.stack.stack import ModuleStack

Tokens = tuple[int | None, ...]


class Blind:
    """Predicts the next token of an answer from those before it, and never sees the question.

    Args:
        order: from how many tokens, at most; where these never came in training, from fewer.
        examples: the training examples.
    """

    def __init__(self, order: int, examples: Iterator[Encoded]) -> None:
        self._order = order
        counts: dict[Tokens, Counter[int]] = defaultdict(Counter)
        for example in examples:
            for before, token in answered(example):
                for context in self._contexts(before):
                    counts[context][token] += 1
        self._likeliest = {context: following.most_common(1)[0][0] for context, following in counts.items()}

    def accuracy(self, examples: Iterator[Encoded]) -> float:
        """Return the share of the answers' tokens that are predicted right."""
        right = [self._told(before) == token for example in examples for before, token in answered(example)]
        return sum(right) / len(right)

    def _told(self, before: Tokens) -> int | None:
        return next(
            (self._likeliest[context] for context in self._contexts(before) if context in self._likeliest), None
        )

    def _contexts(self, before: Tokens) -> Iterator[Tokens]:
        """Yield what the next token is predicted from, the longest first."""
        yield from (before[len(before) - length :] for length in range(min(self._order, len(before)), -1, -1))


def answered(example: Encoded) -> Iterator[tuple[Tokens, int]]:
    """Yield each token of an example's answers with those before it, from None on, which begins the answer."""
    before: Tokens = (None,)
    for token, trained in zip(example.input_ids, example.trained, strict=True):
        if not trained:
            before = (None,)
            continue
        yield before, token
        before = (*before, token)


def encoded(stack: ModuleStack, skill: Skill, split: Split, limit: int) -> Iterator[Encoded]:
    """Yield the first examples of a split as tokens."""
    for example in islice(skill.examples(split), limit):
        yield encode(example, stack.tokenizer, stack.context_length)


def main(
    stack: Path = Path("checkpoints/stack"),
    base: str | None = None,
    order: int = 4,
    num_train: int = 800,
    num_test: int = 100,
) -> None:
    """Score every skill of a stack and print a line for each.

    Args:
        stack: folder of the stack.
        base: where the base is now, if not where the manifest says.
        order: greatest number of tokens of an answer that the next one is predicted from.
        num_train: training examples that are counted.
        num_test: test examples that are scored.
    """
    loaded = ModuleStack.from_pretrained(stack, base=base)
    sys.stdout.write("skill: chance, majority; blind, own path\n")
    for record in loaded.manifest.modules:
        skill = skills.build(record.skill["name"], record.skill["options"])
        blind = Blind(order, encoded(loaded, skill, "train", num_train))
        predicted = blind.accuracy(encoded(loaded, skill, "test", num_test))
        with loaded.active(*record.path), loaded.frozen_merged():
            own = score(loaded, skill.scored_by("token_accuracy"), limit=num_test).value
        whole = f"{100 * skill.chance():.1f} %, {100 * skill.majority():.1f} %"
        sys.stdout.write(f"{record.name}: {whole}; {100 * predicted:.1f} %, {100 * own:.1f} %\n")
        sys.stdout.flush()


if __name__ == "__main__":
    auto_cli(main)
