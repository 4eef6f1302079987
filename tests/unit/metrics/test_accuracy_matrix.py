import json
import pickle
import random

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.metrics.accuracy_matrix import AccuracyMatrix


def random_matrix(num_skills: int, *, lower: bool = False) -> AccuracyMatrix:
    matrix = AccuracyMatrix(num_skills)
    for after in range(num_skills + 1):
        for skill in range(after if lower else num_skills):
            matrix.update(after, skill, random.random())
    return matrix


def cells(matrix: AccuracyMatrix) -> list[tuple[int, int, float]]:
    return [(t, i, matrix.scores[t, i].item()) for t, i in (~matrix.scores.isnan()).nonzero().tolist()]


@pytest.mark.parametrize("num_skills", [2, 3, 7])
def test_properties_of_any_matrix(num_skills: int):
    matrix = random_matrix(num_skills)
    metrics = matrix.compute()
    n = num_skills
    assert metrics["forgetting"] >= 0
    assert metrics["forgetting"] >= -metrics["bwt"] - 1e-12, "the best score is at least the first one"
    assert metrics["ap"] == pytest.approx(metrics["learning_accuracy"] + metrics["bwt"] * (n - 1) / n)
    assert matrix.missing() == {}


def test_a_shift_of_all_scores_moves_levels_and_no_differences():
    matrix = random_matrix(4)
    shifted = AccuracyMatrix(4)
    for after, skill, score in cells(matrix):
        shifted.update(after, skill, score + 0.5)
    before, after = matrix.compute(), shifted.compute()
    for name in ("ap", "learning_accuracy"):
        assert after[name] == pytest.approx(before[name] + 0.5)
    for name in ("bwt", "forgetting", "fwt"):
        assert after[name] == pytest.approx(before[name])


def test_the_lower_triangle_gives_everything_but_forward_transfer():
    matrix = random_matrix(3, lower=True)
    assert [name for name, value in matrix.compute().items() if value.isnan()] == ["fwt"]
    assert matrix.missing() == {"fwt": [(0, 1), (0, 2), (1, 1), (2, 2)]}


@pytest.mark.parametrize("left_out", [(t, i) for t in range(4) for i in range(3)])
def test_a_figure_is_nan_exactly_where_cells_are_missing(left_out: tuple[int, int]):
    matrix = AccuracyMatrix(3)
    for after in range(4):
        for skill in range(3):
            if (after, skill) != left_out:
                matrix.update(after, skill, 0.5)
    unknown = {name for name, value in matrix.compute().items() if value.isnan()}
    assert unknown == set(matrix.missing())
    assert all(cells == [left_out] for cells in matrix.missing().values())


def test_one_skill_has_levels_but_nothing_to_forget():
    matrix = random_matrix(1)
    metrics = matrix.compute()
    assert metrics["ap"] == metrics["learning_accuracy"]
    assert all(metrics[name].isnan() for name in ("bwt", "forgetting", "fwt"))
    assert matrix.missing() == {}


def test_a_cell_has_one_score():
    matrix = random_matrix(2, lower=True)
    matrix.update(0, 0, 0.25)
    matrix(0, 0, torch.tensor(0.25))
    with pytest.raises(GrowlmError, match=r"has the score 0.25 already, found 0.5"):
        matrix.update(0, 0, 0.5)
    assert matrix.scores[0, 0] == 0.25


def test_json_round_trip_is_exact():
    matrix = random_matrix(3, lower=True)
    again = AccuracyMatrix.from_json(json.loads(json.dumps(matrix.to_json())))
    torch.testing.assert_close(again.scores, matrix.scores, rtol=0, atol=0, equal_nan=True)
    assert again.to_json() == matrix.to_json()


def test_reset_state_dict_and_pickle():
    matrix = random_matrix(3)
    restored = AccuracyMatrix(3)
    restored.load_state_dict(matrix.state_dict())
    assert torch.equal(restored.scores, matrix.scores)
    assert torch.equal(pickle.loads(pickle.dumps(matrix)).scores, matrix.scores)
    matrix.reset()
    assert matrix.scores.isnan().all()


def test_parts_from_several_processes_merge():
    whole, rows, columns = random_matrix(3), AccuracyMatrix(3), AccuracyMatrix(3)
    for after, skill, score in cells(whole):
        if after < 3:
            rows.update(after, skill, score)
        if after > 1:  # row 2 is in both
            columns.update(after, skill, score)
    rows.merge_state(columns)
    assert torch.equal(rows.scores, whole.scores)


def test_merging_matrices_that_differ_fails():
    one, other = AccuracyMatrix(2), AccuracyMatrix(2)
    one.update(1, 0, 0.5)
    other.update(1, 0, 0.75)
    with pytest.raises(GrowlmError, match=r"differ in the cells \(after, skill\) \[\[1, 0\]\]"):
        one.merge_state(other)


@pytest.mark.parametrize(
    ("after", "skill", "score", "message"),
    [
        (3, 0, 0.5, "no row 3"),
        (-1, 0, 0.5, "no row -1"),
        (0, 2, 0.5, "no skill 2"),
        (0, -1, 0.5, "no skill -1"),
        (0, 0, float("nan"), "is nan"),
        (0, 0, float("inf"), "is inf"),
    ],
)
def test_wrong_scores_fail(after: int, skill: int, score: float, message: str):
    with pytest.raises(GrowlmError, match=message):
        AccuracyMatrix(2).update(after, skill, score)


def test_no_skills_fail():
    with pytest.raises(GrowlmError, match="at least 1"):
        AccuracyMatrix(0)


def test_the_mode_is_asked_for_where_there_are_several():
    tables = {"oracle": [[0.0], [1.0]], "all": [[0.0], [0.5]]}
    content = {"format_version": 2, "skills": ["chat"], "metrics": {"chat": "contains"}, "modes": tables}
    assert AccuracyMatrix.from_json(content, "oracle").compute()["ap"] == 1
    assert AccuracyMatrix.from_json(content, "all").compute()["ap"] == 0.5
    with pytest.raises(GrowlmError, match="scores of the modes oracle, all: say which"):
        AccuracyMatrix.from_json(content)
    with pytest.raises(GrowlmError, match="unknown mode in these scores 'routed'"):
        AccuracyMatrix.from_json(content, "routed")


def test_names_and_mode_are_kept():
    content = random_matrix(2).to_json(["chat", "memory"], "routed")
    assert content["skills"] == ["chat", "memory"]
    assert list(content["modes"]) == ["routed"]
