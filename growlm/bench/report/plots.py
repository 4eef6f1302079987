"""The figures of a report: each is drawn once, and rendered as SVG for the page and as PNG for papers."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growlm.errors import GrowlmError
from growlm.manifest.scores import Matrix
from growlm.show.importance import ImportanceMap, draw_importance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NUMBERS = 8  # skills beyond which a heat map's numbers would be too small to read
_WIDE = 20  # from this ratio on an axis is logarithmic
_FONT = 7.0  # points, in a figure that is _WIDTH inches wide
_WIDTH, _HEIGHT = 3.0, 2.2

Curve = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Theme:
    """Colours by what they are for."""

    text: str
    muted: str
    accent: str
    other: str


_PAPER = Theme("#1b1f24", "#c3cad2", "#0b62c4", "#d1680c")
# colours that nothing else has, each put in place of a variable of the page's style sheet
_PAGE = Theme("#010203", "#040506", "#070809", "#0a0b0c")
_VARIABLES = {_PAGE.text: "currentColor", _PAGE.muted: "var(--line)", _PAGE.accent: "var(--accent)"}
_VARIABLES[_PAGE.other] = "var(--other)"

Draw = Callable[["Axes", Theme], None]


@dataclass(frozen=True)
class Figure:
    """A figure that can be rendered.

    Args:
        name: what its file and the identifiers inside it begin with.
        title: what stands above it, and what a screen reader says.
        draw: draws it into axes, with the colours of a theme.
        height: of the figure, in inches; it is 3 wide.
    """

    name: str
    title: str
    draw: Draw
    height: float = _HEIGHT


def require_plots() -> None:
    """Refuses to go on without matplotlib.

    Raises:
        GrowlmError: if it is not installed.
    """
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise GrowlmError("plots need matplotlib: pip install 'growlm[plots]'")


def to_svg(figure: Figure) -> str:
    """Renders a figure for a page: text stays text, colours are the page's."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Canvas

    buffer = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": figure.name, "font.size": _FONT}):
        canvas = Canvas(figsize=(_WIDTH, figure.height), layout="constrained")
        axes = canvas.add_subplot()
        figure.draw(axes, _PAGE)
        _dress(axes, _PAGE)
        canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL).replace("xlink:href", "href")
    # figures share a page: each has identifiers of its own
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{figure.name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    label = figure.title.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return re.sub(
        r'<svg (.*?)width="[^"]*" height="[^"]*"|<svg ', rf'<svg role="img" aria-label="{label}" ', svg, count=1
    )


def write_png(figures: Sequence[Figure], path: Path, columns: int = 3) -> None:
    """Renders figures side by side into one PNG.

    Args:
        figures: the figures, all of the same height.
        path: the file.
        columns: how many stand in a row at most.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Canvas

    columns = min(columns, len(figures))
    rows = -(-len(figures) // columns)
    with rc_context({"font.size": _FONT}):
        height = (figures[0].height + 0.2) * rows
        canvas = Canvas(figsize=(_WIDTH * columns, height), layout="constrained", facecolor="white")
        grid: Any = canvas.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(figures) :]:
            axes.remove()
        for axes, figure in zip(grid.flat, figures, strict=False):
            figure.draw(axes, _PAPER)
            _dress(axes, _PAPER)
            axes.set_title(figure.title, fontsize=_FONT + 1, color=_PAPER.text, loc="left")
        buffer = BytesIO()
        canvas.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())


def heat_map(name: str, title: str, matrix: Matrix, skills: Sequence[str], percent: bool) -> Figure:
    """Draws an accuracy matrix: a row for the bare base and each phase, a column for each skill.

    Args:
        name: name of the figure.
        title: its title.
        matrix: the scores, None where nothing was measured.
        skills: names of the columns; phase i + 1 is that of skill i.
        percent: the scores are shares, shown from 0 to 100.
    """

    def draw(axes: "Axes", theme: Theme) -> None:
        scale = 100.0 if percent else 1.0
        values = [[math.nan if score is None else scale * score for score in row] for row in matrix]
        known = [value for row in values for value in row if not math.isnan(value)]
        low, high = (0.0, 100.0) if percent else (min(known, default=0.0), max(known, default=1.0))
        axes.pcolormesh(values, cmap="viridis", vmin=low, vmax=high, edgecolors="none")
        axes.invert_yaxis()
        axes.set_xticks([i + 0.5 for i in range(len(skills))], skills, rotation=30, ha="right")
        axes.set_yticks([t + 0.5 for t in range(len(matrix))], ["base", *(f"after {skill}" for skill in skills)])
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        if len(skills) > _MOST_NUMBERS:
            return
        for t, row in enumerate(values):
            for i, value in enumerate(row):
                dark = math.isnan(value) or (value - low) / max(high - low, 1e-9) < 0.6
                text = "" if math.isnan(value) else f"{value:.0f}" if percent else f"{value:.2f}"
                weight = "bold" if t == i + 1 else "normal"
                colour = "#ffffff" if dark else "#101418"
                axes.text(i + 0.5, t + 0.5, text, ha="center", va="center", color=colour, weight=weight)

    return Figure(name, title, draw, 0.75 + 0.24 * min(len(matrix), 12))


def importance(name: str, title: str, found: ImportanceMap) -> Figure:
    """Draws which units of a module matter, by layer and projection.

    Args:
        name: name of the figure.
        title: its title.
        found: the map.
    """

    def draw(axes: "Axes", theme: Theme) -> None:
        draw_importance(axes, found)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)

    return Figure(name, title, draw, 0.75 + 0.24 * min(len(found.layers), 12))


def curve(name: str, title: str, own: Curve, others: Sequence[Curve], axis: tuple[str, str]) -> Figure:
    """Draws one entry's curve before those of all others.

    Args:
        name: name of the figure.
        title: its title.
        own: points of the curve.
        others: points of the other curves.
        axis: what the axes show, across and up.
    """

    def draw(axes: "Axes", theme: Theme) -> None:
        for other in others:
            axes.plot(*_columns(other), color=theme.muted, linewidth=0.7)
        axes.plot(*_columns(own), color=theme.accent, linewidth=1.8, marker="o", markersize=3)
        axes.set_xlabel(axis[0])
        axes.set_ylabel(axis[1])
        axes.margins(x=0.03)

    return Figure(name, title, draw, 1.8)


def bars(name: str, title: str, values: Sequence[tuple[str, float]], marks: Sequence[tuple[str, float]]) -> Figure:
    """Draws bars beside each other, the first on top, with marks that go through all of them.

    Args:
        name: name of the figure.
        title: its title.
        values: label and length of each bar.
        marks: label and place of each mark.
    """

    def draw(axes: "Axes", theme: Theme) -> None:
        labels = [f"{label}   {'n/a' if math.isnan(value) else f'{value:.0f}'}" for label, value in values]
        lengths = [0.0 if math.isnan(value) else value for _, value in values]
        axes.barh(range(len(values)), lengths, color=theme.accent, height=0.65)
        for number, (label, value) in enumerate(marks):
            if not math.isnan(value):
                style = ("--", ":")[number % 2]
                axes.axvline(value, color=theme.other, linewidth=1.2, linestyle=style, label=f"{label} {value:.0f}")
        axes.set_yticks(range(len(values)), labels)
        axes.invert_yaxis()
        if any(not math.isnan(value) for _, value in marks):
            axes.legend(frameon=False, labelcolor=theme.text, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)

    return Figure(name, title, draw, 0.7 + 0.19 * len(values))


def scatter(name: str, title: str, points: Sequence[tuple[str, float, float]], axis: tuple[str, str]) -> Figure:
    """Draws labelled points; the axis across is logarithmic where they lie far apart.

    Args:
        name: name of the figure.
        title: its title.
        points: label, place across (above 0) and place up of each.
        axis: what the axes show, across and up.
    """

    def draw(axes: "Axes", theme: Theme) -> None:
        known = [point for point in points if point[1] > 0 and not math.isnan(point[2])]
        places = [x for _, x, _ in known] or [1.0]
        if max(places) > _WIDE * min(places):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter("")
        axes.scatter([x for _, x, _ in known], [y for _, _, y in known], s=14, color=theme.accent)
        for label, x, y in known:
            axes.annotate(label, (x, y), xytext=(3, 2), textcoords="offset points", color=theme.text)
        axes.set_xlabel(axis[0])
        axes.set_ylabel(axis[1])
        axes.margins(0.1)
        axes.tick_params(which="both", colors=theme.text)

    return Figure(name, title, draw, 2.4)


def _columns(points: Curve) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _dress(axes: "Axes", theme: Theme) -> None:
    """Gives axes the theme's colours and leaves out the frame."""
    axes.tick_params(colors=theme.text, which="both")
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(theme.text)
    for side, spine in axes.spines.items():
        spine.set_color(theme.muted)
        if side in ("top", "right"):
            spine.set_visible(False)
    axes.set_facecolor("none")
