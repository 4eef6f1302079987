"""Where the labels of a plot go, so that none covers another or a point."""

from collections.abc import Iterator, Sequence

_CHARACTER, _LINE = 5.0, 8.0  # points, width of a character and height of a line
_POINT = 2.5  # half the width of a point
_STEP = 3.0

Place = tuple[float, float]
"""Points (of which an inch has 72) across and up."""
_Box = tuple[float, float, float, float]
"""Centre and half extent."""


def label_offsets(labels: Sequence[str], places: Sequence[Place], room: Place) -> list[Place]:
    """Place labels beside their points, the nearest place first that covers neither another label nor a point.

    Where no place is free, the one that covers least is taken.

    Args:
        labels: the labels.
        places: of the points, from the lower left corner of the axes.
        room: width and height of the axes, which labels do not leave.

    Returns:
        For each label how far its centre is from its point.
    """
    boxes = [(x, y, _POINT, _POINT) for x, y in places]
    offsets: list[Place] = []
    for label, (x, y) in zip(labels, places, strict=True):
        half = (_CHARACTER * len(label) / 2, _LINE / 2)
        choices = [(across, up) for across, up in _around(half) if _inside((x + across, y + up, *half), room)]
        covered = [sum(_overlap((x + across, y + up, *half), box) for box in boxes) for across, up in choices]
        offset = choices[covered.index(min(covered))] if choices else (0.0, half[1] + _POINT)
        offsets.append(offset)
        boxes.append((x + offset[0], y + offset[1], *half))
    return offsets


def is_far(offset: Place, place: Place, others: Sequence[Place]) -> bool:
    """Return whether a label needs a line to its point: it is away from it, or nearer to another one.

    Args:
        offset: how far the label's centre is from its point.
        place: of the point.
        others: places of all points.
    """
    x, y = place[0] + offset[0], place[1] + offset[1]
    own = offset[0] ** 2 + offset[1] ** 2
    return own > (2 * _LINE) ** 2 or any((x - a) ** 2 + (y - b) ** 2 < own for a, b in others if (a, b) != place)


def spread_apart(places: Sequence[float], gap: float) -> list[float]:
    """Move places upwards until each is at least a gap above the one before.

    Args:
        places: the places, rising.
        gap: least distance.
    """
    found: list[float] = []
    for place in places:
        found.append(max(place, found[-1] + gap) if found else place)
    return found


def _around(half: Place) -> Iterator[Place]:
    """Yield offsets from the nearest outwards, beginning at the upper right."""
    for distance in range(1, 20):
        reach = (half[0] + _STEP * distance, half[1] + _STEP * distance)
        for side in ((1, 0.6), (1, -0.6), (-1, 0.6), (-1, -0.6), (0, 1), (0, -1), (1, 0), (-1, 0)):
            yield reach[0] * side[0], reach[1] * side[1]


def _inside(box: _Box, room: Place) -> bool:
    return box[2] <= box[0] <= room[0] - box[2] and box[3] <= box[1] <= room[1] - box[3]


def _overlap(one: _Box, other: _Box) -> bool:
    return abs(one[0] - other[0]) < one[2] + other[2] and abs(one[1] - other[1]) < one[3] + other[3]
