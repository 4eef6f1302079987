"""A counter of tokens that never sees a question: what token accuracy has to beat.

It predicts each token of an answer from the few before it, by what followed these most often in training answers. Much
of an answer follows from its form alone, and this is that share. Proved by tests/golden/test_token_counter.py.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from growlm.data.encode import Encoded

ORDER = 4
Tokens = tuple[int | None, ...]


class TokenCounter:
    """Predicts the next token of an answer from those before it in the answer.

    Args:
        examples: the training examples.
        order: from how many tokens, at most; where these never came in training, from fewer.
    """

    def __init__(self, examples: Iterable[Encoded], order: int = ORDER) -> None:
        self._order = order
        counts: dict[Tokens, Counter[int]] = defaultdict(Counter)
        for example in examples:
            for before, token in answered(example):
                for context in self._contexts(before):
                    counts[context][token] += 1
        self._likeliest = {context: following.most_common(1)[0][0] for context, following in counts.items()}

    def accuracy(self, examples: Iterable[Encoded]) -> float:
        """Return the share of the answers' tokens that are predicted right; 0 if there are none."""
        right = [self._predict(before) == token for example in examples for before, token in answered(example)]
        return sum(right) / max(1, len(right))

    def _predict(self, before: Tokens) -> int | None:
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
