"""The accuracy matrix against a 3 x 3 matrix (and its base row) worked by hand."""

import pytest

from growlm.metrics.accuracy_matrix import AccuracyMatrix

# rows: bare base, after phase 1, 2, 3; columns: skills 0, 1, 2
WORKED = [
    [0.10, 0.20, 0.30],
    [0.80, 0.25, 0.20],
    [0.90, 0.70, 0.40],
    [0.60, 0.50, 0.75],
]

METRICS = {
    "ap": (0.60 + 0.50 + 0.75) / 3,
    "learning_accuracy": (0.80 + 0.70 + 0.75) / 3,
    "bwt": ((0.60 - 0.80) + (0.50 - 0.70)) / 2,
    "forgetting": ((0.90 - 0.60) + (0.70 - 0.50)) / 2,
    "fwt": ((0.25 - 0.20) + (0.40 - 0.30)) / 2,
}


def filled(rows: list[list[float]]) -> AccuracyMatrix:
    matrix = AccuracyMatrix(len(rows[0]))
    for after, row in enumerate(rows):
        for skill, score in enumerate(row):
            matrix.update(after=after, skill=skill, score=score)
    return matrix


def test_worked_example():
    metrics = filled(WORKED).compute()
    assert {name: float(value) for name, value in metrics.items()} == pytest.approx(METRICS, abs=1e-12)


@pytest.mark.parametrize(
    ("after", "skill", "changed"),
    [
        (0, 0, set()),
        (0, 1, {"fwt"}),
        (0, 2, {"fwt"}),
        (1, 0, {"learning_accuracy", "bwt"}),
        (1, 1, {"fwt"}),
        (1, 2, set()),
        (2, 0, {"forgetting"}),
        (2, 1, {"learning_accuracy", "bwt", "forgetting"}),
        (2, 2, {"fwt"}),
        (3, 0, {"ap", "bwt", "forgetting"}),
        (3, 1, {"ap", "bwt", "forgetting"}),
        (3, 2, {"ap", "learning_accuracy"}),
    ],
)
def test_which_figure_reads_which_cell(after: int, skill: int, changed: set[str]):
    rows = [list(row) for row in WORKED]
    rows[after][skill] += 0.01
    metrics = filled(rows).compute()
    assert {
        name for name, value in metrics.items() if float(value) != pytest.approx(METRICS[name], abs=1e-9)
    } == changed
