"""The counter that never sees the question: it predicts what came most often, by hand."""

import pytest

from growlm.data.encode import Encoded
from growlm.metrics.token_counter import TokenCounter, answered


def example(*answers: tuple[int, ...]) -> Encoded:
    """An example each of whose answers follows a question of two tokens, which differ from one to the next."""
    ids: list[int] = []
    trained: list[bool] = []
    for number, answer in enumerate(answers):
        ids += [100 + len(ids), 200 + number, *answer]
        trained += [False, False, *[True] * len(answer)]
    return Encoded("x", tuple(ids), tuple(trained))


@pytest.mark.parametrize(
    ("order", "right"),
    [
        (0, 2),  # 2 is the most frequent token: 3 of 8
        (1, 3),  # 1 begins, 2 follows 1, and 3 follows 2; 3 follows 7 nowhere, and 2 is predicted then
        (2, 4),  # after 5 and 2 comes 4
    ],
)
def test_what_followed_most_often_is_predicted(order: int, right: int) -> None:
    trained = [example((1, 2, 3), (1, 2, 3)), example((5, 2, 4))]
    counter = TokenCounter(trained, order)
    assert counter.accuracy([example((1, 2), (5, 2, 4), (7, 3))]) == pytest.approx(right / 7)


def test_answers_are_separate_and_questions_left_out() -> None:
    predicted = list(answered(example((1, 2), (3,))))
    assert predicted == [((None,), 1), ((None, 1), 2), ((None,), 3)]
