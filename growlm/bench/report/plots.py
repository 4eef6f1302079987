"""Plots of a report: each is drawn once, and rendered as SVG for the page and as PNG for papers."""

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growlm.errors import needs_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FONT = 7.0  # points, in a plot that is _WIDTH inches wide
_WIDTH, _HEIGHT = 3.0, 2.2
_TITLE_CHARACTERS = 30
# names from files are shown as they are: "$" begins no formula
_TEXT: Any = {"text.parse_math": False, "font.size": _FONT}


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
class Plot:
    """A plot that can be rendered.

    Args:
        name: prefix of its file and of the identifiers inside it: letters, digits and ``-`` only.
        title: its caption, also for screen readers.
        draw: draws it into axes, with the colours of a theme.
        height: in inches; it is 3 wide.
        label: writes into the same axes once they are laid out: what has to know how large they are.
    """

    name: str
    title: str
    draw: Draw
    height: float = _HEIGHT
    label: Draw | None = None


def require_plots() -> None:
    """Check that matplotlib is installed.

    Raises:
        GrowlmError: if it is not.
    """
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise needs_extra("a plot", "matplotlib", "plots")


def to_svg(plot: Plot) -> str:
    """Render a plot for a page: text stays text, colours are the page's."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    buffer = StringIO()
    with rc_context({**_TEXT, "svg.fonttype": "none", "svg.hashsalt": plot.name}):
        figure = Figure(figsize=(_WIDTH, plot.height), layout="constrained")
        axes = figure.add_subplot()
        plot.draw(axes, _PAGE)
        for each in figure.axes:  # a colour bar has axes of its own
            _dress(each, _PAGE)
        _label([(plot, axes)], _PAGE)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL).replace("xlink:href", "href")
    # plots share a page: each has identifiers of its own
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{plot.name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    opening = f'<svg role="img" aria-label="{escape(plot.title)}" '
    return re.sub(
        r'<svg (?P<kept>.*?)width="[^"]*" height="[^"]*"|<svg ',
        lambda found: opening + (found["kept"] or ""),
        svg,
        count=1,
    )


def write_png(plots: Sequence[Plot], path: Path, columns: int = 3) -> None:
    """Render plots side by side into one PNG.

    Args:
        plots: the plots.
        path: the file.
        columns: how many are in a row at most.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    columns = min(columns, len(plots))
    rows = [plots[begin : begin + columns] for begin in range(0, len(plots), columns)]
    titles = {plot.name: textwrap.fill(plot.title, _TITLE_CHARACTERS) for plot in plots}
    heights = [max(plot.height + 0.12 * (1 + titles[plot.name].count("\n")) for plot in row) for row in rows]
    with rc_context(_TEXT):
        figure = Figure(figsize=(_WIDTH * columns, sum(heights)), layout="constrained", facecolor="white")
        grid: Any = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
        for axes in grid.flat[len(plots) :]:
            axes.remove()
        for axes, plot in zip(grid.flat, plots, strict=False):
            plot.draw(axes, _PAPER)
            axes.set_title(titles[plot.name], fontsize=_FONT + 1, color=_PAPER.text, loc="left")
        for axes in figure.axes:
            _dress(axes, _PAPER)
        _label(list(zip(plots, grid.flat, strict=False)), _PAPER)
        buffer = BytesIO()
        figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())


def _label(drawn: Sequence[tuple[Plot, "Axes"]], theme: Theme) -> None:
    """Lay out plots that are drawn together and write the labels that depend on it; they leave the layout as it is."""
    if not any(plot.label for plot, _ in drawn):
        return
    whole: Any = drawn[0][1].get_figure()
    whole.draw_without_rendering()
    whole.set_layout_engine("none")
    for plot, axes in drawn:
        if plot.label is not None:
            plot.label(axes, theme)


def _dress(axes: "Axes", theme: Theme) -> None:
    """Give axes the theme's colours and remove the frame."""
    axes.tick_params(colors=theme.text, which="both")
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(theme.text)
    for side, spine in axes.spines.items():
        spine.set_color(theme.muted)
        if side in ("top", "right"):
            spine.set_visible(False)
    axes.set_facecolor("none")
