"""What is shown beside a share of right answers."""

from growlm.data.example import Message
from growlm.metrics.references import References
from growlm.metrics.scoring import Answer
from growlm.show.beside import reference_rows, split_rows


def answer(words: int, sort: str, score: float) -> Answer:
    return Answer(" ".join("word" for _ in range(words)), Message("assistant", "yes", sort=sort), "yes", score)


def test_an_interval_that_reaches_down_to_the_best_reference_is_not_learned() -> None:
    known = References(0.25, 0.1, None, 0.05)
    assert reference_rows(0.34, 100, known) == [
        ("95 % interval", "25.5 % to 43.7 %"),
        ("to beat", "drawn 25.0 %, constant 10.0 %, question-blind 5.0 %"),
    ]
    assert reference_rows(0.33, 100, known)[-1] == ("not learned", "(the interval reaches what is to beat)")


def test_a_score_is_split_by_sort_and_by_length() -> None:
    answers = [answer(3, "who", 1), answer(4, "who", 0), answer(9, "where", 1), answer(11, "", 1)]
    assert split_rows(answers) == [
        ("others", "100.0 % of 1"),
        ("where", "100.0 % of 1"),
        ("who", "50.0 % of 2"),
        ("up to 6.5 words", "50.0 % of 2"),
        ("over 6.5 words", "100.0 % of 2"),
    ]


def test_what_is_all_alike_is_not_split() -> None:
    assert split_rows([answer(3, "who", 1), answer(3, "who", 0)]) == []
    assert split_rows([]) == []
