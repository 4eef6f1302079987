"""Where labels go: beside their points, on nothing else."""

from itertools import combinations

import pytest

from growlm.bench.report.label_places import is_far, label_offsets, spread_apart

ROOM = (150.0, 120.0)
# fourteen points in a heap of 8 by 8 points, as of methods that cost the same
HEAP = [(30.0 + 2 * (number % 4), 60.0 + 2 * (number // 4)) for number in range(14)]


def boxes(labels: list[str], places: list[tuple[float, float]]) -> list[tuple[float, float, float, float]]:
    offsets = label_offsets(labels, places, ROOM)
    return [
        (x + across, y + up, 2.4 * len(label), 3.9)
        for label, (x, y), (across, up) in zip(labels, places, offsets, strict=True)
    ]


def overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return abs(one[0] - other[0]) < one[2] + other[2] and abs(one[1] - other[1]) < one[3] + other[3]


def test_labels_cover_neither_each_other_nor_a_point():
    found = boxes([str(number) for number in range(1, 15)], HEAP)
    assert not [pair for pair in combinations(found, 2) if overlap(*pair)]
    assert not [box for box in found for x, y in HEAP if overlap(box, (x, y, 2.0, 2.0))]


@pytest.mark.parametrize("corner", [(0.0, 0.0), (0.0, 120.0), (150.0, 0.0), (150.0, 120.0)])
def test_labels_stay_inside_the_axes(corner: tuple[float, float]):
    ((x, y, width, height),) = boxes(["24"], [corner])
    assert width <= x <= ROOM[0] - width
    assert height <= y <= ROOM[1] - height


def test_without_room_a_label_stays_at_its_point():
    assert label_offsets(["a long label"], [(5.0, 5.0)], (10.0, 10.0)) == [(0.0, 6.5)]
    assert label_offsets([], [], ROOM) == []


def test_a_label_that_is_away_from_its_point_needs_a_line():
    assert not is_far((6.0, 4.0), (10.0, 10.0), [(10.0, 10.0)])
    assert is_far((20.0, 4.0), (10.0, 10.0), [(10.0, 10.0)])
    assert is_far((6.0, 4.0), (10.0, 10.0), [(10.0, 10.0), (17.0, 14.0)]), "another point is nearer"


def test_places_are_moved_apart_upwards():
    assert spread_apart([0.0, 0.1, 0.9], 0.25) == [0.0, 0.25, 0.9]
