"""A heat map: coloured cells, with numbers in them where there is room."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.colors import Normalize

_LEAST = 5.0  # points, below which type is too small to read
_CHARACTER = 0.65  # width of a digit, of the height of the type
_LIGHT = 0.6  # from this share of the scale on colours are light


def draw_cells(
    axes: "Axes",
    values: Sequence[Sequence[float]],
    rows: Sequence[str],
    columns: Sequence[str],
    norm: "Normalize",
    rotation: float,
) -> "QuadMesh":
    """Draw a matrix as coloured cells, the first row on top.

    Args:
        axes: the axes to draw on.
        values: for each row and column its value; NaN stays empty.
        rows: names of the rows.
        columns: names of the columns.
        norm: the scale of the colours.
        rotation: of the columns' names, in degrees.

    Returns:
        The cells, for a colour bar.
    """
    cells = axes.pcolormesh(values, norm=norm, cmap="viridis", edgecolors="none")
    axes.invert_yaxis()
    axes.set_xticks([column + 0.5 for column in range(len(columns))], columns, rotation=rotation, ha="right")
    axes.set_yticks([row + 0.5 for row in range(len(rows))], rows)
    return cells


def write_numbers(
    axes: "Axes", texts: Sequence[Sequence[str]], bold: Collection[tuple[int, int]] = frozenset()
) -> None:
    """Write a number into each cell, in type as small as the cells need; none where that would be too small to read.

    Args:
        axes: axes with the cells of ``draw_cells``, in a plot that is laid out.
        texts: for each row and column the number; empty: none.
        bold: row and column of the numbers that are set off.
    """
    size = _type_size(axes, texts)
    if size < _LEAST:
        return
    cells: Any = axes.collections[0]
    shades = cells.norm(cells.get_array()).reshape(len(texts), -1)
    for t, row in enumerate(texts):
        for i, text in enumerate(row):
            if text:
                colour = "#101418" if shades[t, i] >= _LIGHT else "#ffffff"
                weight = "bold" if (t, i) in bold else "normal"
                axes.text(i + 0.5, t + 0.5, text, ha="center", va="center", color=colour, weight=weight, fontsize=size)


def _type_size(axes: "Axes", texts: Sequence[Sequence[str]]) -> float:
    """Return the size in points, at most the plot's own, at which the longest text fits into a cell."""
    from matplotlib import rcParams

    area = axes.get_window_extent()
    points = 72 / axes.figure.dpi
    longest = max(len(text) for row in texts for text in row)
    width, height = points * area.width / len(texts[0]), points * area.height / len(texts)
    return min(rcParams["font.size"], (width - 1) / (_CHARACTER * max(longest, 1)), height - 1)
