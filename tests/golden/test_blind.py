"""The baseline of benchmarks/ that never sees the question: it tells what came most often, by hand."""

from typing import Any

import pytest

from growlm.data.encode import Encoded
from tests.golden.conftest import load_benchmark


@pytest.fixture(scope="module")
def blind() -> Any:
    return load_benchmark("blind")


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
def test_what_followed_most_often_is_told(blind: Any, order: int, right: int) -> None:
    trained = [example((1, 2, 3), (1, 2, 3)), example((5, 2, 4))]
    model = blind.Blind(order, iter(trained))
    assert model.accuracy(iter([example((1, 2), (5, 2, 4), (7, 3))])) == pytest.approx(right / 7)


def test_answers_are_told_apart_and_questions_left_out(blind: Any) -> None:
    predicted = list(blind.answered(example((1, 2), (3,))))
    assert predicted == [((None,), 1), ((None, 1), 2), ((None,), 3)]
