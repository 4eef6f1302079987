"""The kinds of plots that a report has."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from growlm.bench.report.plots import Plot, Theme
from growlm.manifest.scores import Matrix
from growlm.show.importance import ImportanceMap, draw_importance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NUMBERS = 8  # skills beyond which a heat map's numbers would be too small to read
_WIDE = 20  # from this ratio on an axis is logarithmic
_MOST_ROWS = 12  # of a heat map, beyond which rows become lower
_ROOM = (160.0, 125.0)  # points between the axes of a scatter plot
_LABEL_GAP = 0.065  # of the height of a plot, between labels of reference lines
_LABEL = (4.2, 7.5)  # points, width of a character and height of a line

Curve = Sequence[tuple[float, float]]


def heat_map(name: str, title: str, matrix: Matrix, skills: Sequence[str], percent: bool) -> Plot:
    """Draw an accuracy matrix: a row for the bare base and each phase, a column for each skill.

    Args:
        name: name of the plot.
        title: its title.
        matrix: the scores, None where nothing was measured.
        skills: names of the columns; phase i + 1 is that of skill i.
        percent: the scores are shares, shown from 0 to 100.
    """

    def draw(axes: "Axes", theme: Theme) -> None:
        del theme
        scale = 100.0 if percent else 1.0
        values = [[math.nan if score is None else scale * score for score in row] for row in matrix]
        known = [value for row in values for value in row if not math.isnan(value)]
        low, high = (0.0, 100.0) if percent else (min(known, default=0.0), max(known, default=1.0))
        image = axes.pcolormesh(values, cmap="viridis", vmin=low, vmax=high, edgecolors="none")
        axes.figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02).outline.set_visible(False)
        axes.invert_yaxis()
        axes.set_xticks([i + 0.5 for i in range(len(skills))], skills, rotation=30, ha="right")
        axes.set_yticks([t + 0.5 for t in range(len(matrix))], ["base", *(f"after {skill}" for skill in skills)])
        _bare(axes)
        if len(skills) <= _MOST_NUMBERS:
            _write_numbers(axes, values, low, high, 0 if percent else 2)

    return Plot(name, title, draw, 0.75 + 0.24 * min(len(matrix), _MOST_ROWS))


def _write_numbers(axes: "Axes", values: Sequence[Sequence[float]], low: float, high: float, decimals: int) -> None:
    for t, row in enumerate(values):
        for i, value in enumerate(row):
            if math.isnan(value):
                continue
            is_dark = (value - low) / max(high - low, 1e-9) < 0.6
            weight, colour = "bold" if t == i + 1 else "normal", "#ffffff" if is_dark else "#101418"
            text = f"{value:.{decimals}f}"
            axes.text(i + 0.5, t + 0.5, text, ha="center", va="center", color=colour, weight=weight)


def importance(name: str, title: str, found: ImportanceMap) -> Plot:
    """Draw which units of a module matter, by layer and projection.

    Args:
        name: name of the plot.
        title: its title.
        found: the map.
    """

    def draw(axes: "Axes", theme: Theme) -> None:
        del theme
        image = draw_importance(axes, found)
        bar = axes.figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02, format="{x:g}")
        bar.outline.set_visible(False)
        _bare(axes)

    return Plot(name, title, draw, 0.75 + 0.24 * min(len(found.layers), _MOST_ROWS))


def curve(
    name: str,
    title: str,
    own: Curve,
    others: Sequence[Curve],
    axis: tuple[str, str],
    references: Sequence[tuple[str, float]] = (),
) -> Plot:
    """Draw one entry's curve before those of all others.

    Args:
        name: name of the plot.
        title: its title.
        own: points of the curve.
        others: points of the other curves.
        axis: labels of the axes, across and up.
        references: label and height of what the curve is compared with.
    """

    def draw(axes: "Axes", theme: Theme) -> None:
        for other in others:
            axes.plot(*_coordinates(other), color=theme.muted, linewidth=0.7)
        axes.plot(*_coordinates(own), color=theme.accent, linewidth=1.8, marker="o", markersize=3)
        axes.set_xlabel(axis[0])
        axes.set_ylabel(axis[1])
        axes.margins(x=0.03)
        _reference_lines(axes, theme, references)

    return Plot(name, title, draw, 1.8)


def bars(name: str, title: str, values: Sequence[tuple[str, float]], references: Sequence[tuple[str, float]]) -> Plot:
    """Draw bars below each other, the first on top, and under them those of reference values with a line upwards.

    Args:
        name: name of the plot.
        title: its title.
        values: label and length of each bar; NaN is left out.
        references: likewise, of what the others are compared with.
    """

    def draw(axes: "Axes", theme: Theme) -> None:
        shown = [(*bar, False) for bar in values if not math.isnan(bar[1])]
        shown += [(*bar, True) for bar in references if not math.isnan(bar[1])]
        colours = [theme.other if is_reference else theme.accent for *_, is_reference in shown]
        axes.barh(range(len(shown)), [length for _, length, _ in shown], color=colours, height=0.65)
        for _, length, is_reference in shown:
            if is_reference:
                axes.axvline(length, color=theme.other, linewidth=0.8, linestyle=":")
        axes.set_yticks(range(len(shown)), [f"{label}   {length:.0f}" for label, length, _ in shown])
        axes.invert_yaxis()

    return Plot(name, title, draw, 0.5 + 0.19 * (len(values) + len(references)))


def scatter(
    name: str,
    title: str,
    points: Sequence[tuple[str, float, float]],
    axis: tuple[str, str],
    references: Sequence[tuple[str, float]] = (),
) -> Plot:
    """Draw labelled points; the axis across is logarithmic where they are far apart.

    Args:
        name: name of the plot.
        title: its title.
        points: label, place across (above 0) and place up of each.
        axis: labels of the axes, across and up.
        references: label and height of what the points are compared with.
    """

    def draw(axes: "Axes", theme: Theme) -> None:
        known = [point for point in points if point[1] > 0 and not math.isnan(point[2])]
        places = [x for _, x, _ in known] or [1.0]
        logarithmic = max(places) > _WIDE * min(places)
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter("")
        axes.scatter([x for _, x, _ in known], [y for _, _, y in known], s=14, color=theme.accent)
        across = [math.log(x) if logarithmic else x for x in places]
        offsets = label_offsets([label for label, *_ in known], across, [y for *_, y in known])
        for (label, x, y), offset in zip(known, offsets, strict=True):
            far = max(map(abs, offset)) > 2 * _LABEL[1]
            line = {"arrowstyle": "-", "color": theme.muted, "linewidth": 0.5} if far else None
            axes.annotate(
                label, (x, y), xytext=offset, textcoords="offset points", color=theme.text, arrowprops=line,
                va="center", ha="center",
            )  # fmt: skip
        axes.set_xlabel(axis[0])
        axes.set_ylabel(axis[1])
        axes.margins(0.1)
        _reference_lines(axes, theme, references)

    return Plot(name, title, draw, 2.4)


def _reference_lines(axes: "Axes", theme: Theme, references: Sequence[tuple[str, float]]) -> None:
    """Draw dotted lines across, with their labels on the right of the plot, none on another."""
    known = sorted((pair for pair in references if not math.isnan(pair[1])), key=lambda pair: pair[1])
    for _, height in known:
        axes.axhline(height, color=theme.other, linewidth=0.8, linestyle=":")
    low, high = axes.get_ylim()
    places = spread_apart([(height - low) / ((high - low) or 1.0) for _, height in known], _LABEL_GAP)
    for (label, _), place in zip(known, places, strict=True):
        axes.annotate(
            label, (1.02, place), xycoords="axes fraction", ha="left", va="center", color=theme.other, fontsize="small",
            annotation_clip=False,
        )  # fmt: skip


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


def label_offsets(labels: Sequence[str], across: Sequence[float], up: Sequence[float]) -> list[tuple[float, float]]:
    """Place labels beside their points so that none covers another label or a point.

    Args:
        labels: the labels.
        across: places of the points, in the axis' own scale.
        up: likewise.

    Returns:
        For each label how far its centre is from its point, in points, across and up.
    """
    places = list(zip(_spread(across, _ROOM[0]), _spread(up, _ROOM[1]), strict=True))
    boxes = [(x, y, 2.5, 2.5) for x, y in places]  # centre and half extent: the points themselves
    offsets: list[tuple[float, float]] = []
    for label, (x, y) in zip(labels, places, strict=True):
        half = (_LABEL[0] * len(label) / 2, _LABEL[1] / 2)
        choices = list(_around(half))
        free = (o for o in choices if not any(_overlap((x + o[0], y + o[1], *half), box) for box in boxes))
        offset = next(free, choices[0])
        offsets.append(offset)
        boxes.append((x + offset[0], y + offset[1], *half))
    return offsets


def _around(half: tuple[float, float]) -> Iterator[tuple[float, float]]:
    """Yield offsets from the nearest outwards, beginning at the upper right."""
    for distance in range(1, 12):
        reach = (half[0] + 3.5 * distance, half[1] + 3.5 * distance)
        for side in ((1, 0.6), (1, -0.6), (-1, 0.6), (-1, -0.6), (0, 1), (0, -1), (1, 0), (-1, 0)):
            yield reach[0] * side[0], reach[1] * side[1]


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return abs(one[0] - other[0]) < one[2] + other[2] and abs(one[1] - other[1]) < one[3] + other[3]


def _spread(values: Sequence[float], room: float) -> list[float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    return [room * (value - low) / ((high - low) or 1.0) for value in values]


def _bare(axes: "Axes") -> None:
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _coordinates(points: Curve) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
