"""The kinds of plots that a report has."""

import math
import textwrap
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from growlm.bench.report.label_places import is_far, label_offsets, spread_apart
from growlm.bench.report.plots import Plot, Theme
from growlm.manifest.scores import Matrix
from growlm.show.heat_map import draw_cells, write_numbers
from growlm.show.importance import ImportanceMap, draw_importance, importance_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh

_WIDE = 20  # from this ratio on an axis is logarithmic
_MOST_FLAT = 8  # columns of a heat map, beyond which their names are steep
_MOST_ROWS = 12  # of a heat map, beyond which rows become lower
_LABEL_GAP = 0.065  # of the height of a plot, between labels of reference lines
_NOTE_CHARACTERS = 44  # of a line below a plot

Curve = Sequence[tuple[float, float]]


def heat_map(
    name: str, title: str, matrix: Matrix, skills: Sequence[str], percent: bool, at_once: bool = False
) -> Plot:
    """Draw an accuracy matrix: a row for the bare base and each phase, a column for each skill.

    Args:
        name: name of the plot.
        title: its title.
        matrix: the scores, None where nothing was measured.
        skills: names of the columns; phase i + 1 is that of skill i.
        percent: the scores are shares, shown from 0 to 100.
        at_once: one phase learned all skills: its row is the last one, there are none of single skills.
    """
    matrix = [matrix[0], matrix[-1]] if at_once else matrix
    phases = ["after all"] if at_once else [f"after {skill}" for skill in skills]
    rotation = 30 if len(skills) <= _MOST_FLAT else 60
    own = set() if at_once else {(i + 1, i) for i in range(len(skills))}
    scale, decimals = (100.0, 0) if percent else (1.0, 2)
    values = [[math.nan if score is None else scale * score for score in row] for row in matrix]
    numbers = [["" if math.isnan(value) else f"{value:.{decimals}f}" for value in row] for row in values]

    def cells(axes: "Axes") -> "QuadMesh":
        from matplotlib.colors import Normalize

        known = [value for row in values for value in row if not math.isnan(value)]
        low, high = (0.0, 100.0) if percent else (min(known, default=0.0), max(known, default=1.0))
        return draw_cells(axes, values, ["base", *phases], skills, Normalize(low, high), rotation)

    height = 0.75 + 0.24 * min(len(matrix), _MOST_ROWS)
    return _numbered(name, title, cells, numbers, height, bold=own)


def importance(name: str, title: str, found: ImportanceMap) -> Plot:
    """Draw which units of a module matter, by layer and projection.

    Args:
        name: name of the plot.
        title: its title.
        found: the map.
    """
    height = 0.75 + 0.24 * min(len(found.layers), _MOST_ROWS)
    return _numbered(name, title, lambda axes: draw_importance(axes, found), importance_numbers(found), height)


def _numbered(
    name: str,
    title: str,
    cells: Callable[["Axes"], "QuadMesh"],
    numbers: Sequence[Sequence[str]],
    height: float,
    bold: Collection[tuple[int, int]] = frozenset(),
) -> Plot:
    """Make a plot of coloured cells that have a scale beside them and numbers in them."""

    def draw(axes: "Axes", theme: Theme) -> None:
        del theme
        bar = axes.figure.colorbar(cells(axes), ax=axes, fraction=0.05, pad=0.02, format="{x:g}")
        bar.outline.set_visible(False)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)

    def label(axes: "Axes", theme: Theme) -> None:
        del theme
        write_numbers(axes, numbers, bold)

    return Plot(name, title, draw, height, label)


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
        points: label, place across and place up of each; those at 0 across are named below the axis, not drawn.
        axis: labels of the axes, across and up.
        references: label and height of what the points are compared with.
    """
    known = [point for point in points if point[1] > 0 and not math.isnan(point[2])]
    at_zero = [f"{label} ({y:.3g})" for label, x, y in points if not x and not math.isnan(y)]
    below = textwrap.fill(f"at 0, not drawn: {', '.join(at_zero)}", _NOTE_CHARACTERS) if at_zero else ""

    def draw(axes: "Axes", theme: Theme) -> None:
        places = [x for _, x, _ in known] or [1.0]
        if max(places) > _WIDE * min(places):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter("")
        axes.scatter([x for _, x, _ in known], [y for _, _, y in known], s=14, color=theme.accent)
        axes.set_xlabel(f"{axis[0]}\n{below}".rstrip())
        axes.set_ylabel(axis[1])
        axes.margins(0.1)
        _reference_lines(axes, theme, references)

    def label(axes: "Axes", theme: Theme) -> None:
        area, scale = axes.get_window_extent(), 72 / axes.figure.dpi
        across_up = [axes.transData.transform((x, y)) for _, x, y in known]
        places = [(scale * (x - area.x0), scale * (y - area.y0)) for x, y in across_up]
        offsets = label_offsets([point[0] for point in known], places, (scale * area.width, scale * area.height))
        for (text, x, y), place, offset in zip(known, places, offsets, strict=True):
            far = is_far(offset, place, places)
            line = {"arrowstyle": "-", "color": theme.muted, "linewidth": 0.5, "shrinkA": 0} if far else None
            axes.annotate(
                text, (x, y), xytext=offset, textcoords="offset points", color=theme.text, arrowprops=line,
                va="center", ha="center",
            )  # fmt: skip

    return Plot(name, title, draw, 2.4, label)


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


def _coordinates(points: Curve) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
