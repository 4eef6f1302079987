"""Which parts of a module matter to which skills: what tasl, kif and recurrent_kif keep, by layer and projection."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from growlm.errors import GrowlmError, needs_extra, one_line
from growlm.manifest.manifest import METHOD_FILE, Manifest, ModuleRecord
from growlm.methods.importance.units import ACCUMULATED, OF_PHASE
from growlm.show.heat_map import draw_cells, write_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from torch import Tensor

METHODS = "tasl, kif or recurrent_kif"
OUTSIDE = "outside"
"""What the row is called of units that are in no layer."""

_LEAST = 1e-6  # scores are products of up to four small numbers: colours are logarithmic, down to here
_EXPONENT_BELOW = 0.01  # in the cells of a plot


@dataclass(frozen=True)
class ImportanceMap:
    """The importance of a module's units, by layer and projection.

    Args:
        layers: names of the rows.
        projections: names of the columns.
        values: for each row and column the mean importance of the units there, between 0 and 1; None: there are none.
    """

    layers: tuple[str, ...]
    projections: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]


def keeps_importance(names: Iterable[str]) -> bool:
    """Return whether importance is among the tensors that a method kept with a module, by their names."""
    return any(name.startswith(ACCUMULATED) for name in names)


def importance_map(tensors: "Mapping[str, Tensor]", of_phase: bool = False) -> ImportanceMap:
    """Return the importance that a module keeps, in rows and columns.

    Args:
        tensors: what ``ModuleStack.method_tensors`` gives for the module.
        of_phase: the importance to the phase's own skill instead of that to all skills so far.

    Returns:
        The map.

    Raises:
        GrowlmError: if the module keeps no importance.
    """
    prefix = OF_PHASE if of_phase else ACCUMULATED
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    for name, scores in tensors.items():
        if name.startswith(prefix):
            cells[_place(name.removeprefix(prefix))] += scores.float().flatten().tolist()
    if not cells:
        raise GrowlmError(f"the module keeps no importance: grow it with method {METHODS}")
    layers = tuple(dict.fromkeys(layer for layer, _ in sorted(cells, key=lambda place: _natural(place[0]))))
    projections = tuple(dict.fromkeys(projection for _, projection in cells))
    means = {place: sum(scores) / len(scores) for place, scores in cells.items()}
    values = tuple(tuple(means.get((layer, projection)) for projection in projections) for layer in layers)
    return ImportanceMap(layers, projections, values)


def stack_importance(folder: Path, manifest: Manifest) -> Group:
    """Draw the importance that the modules of a stack keep, those that were superseded apart.

    Args:
        folder: the stack's folder.
        manifest: its manifest.

    Returns:
        Two tables for each module, to be printed with rich.

    Raises:
        GrowlmError: if no module keeps any, or a file is not what the manifest says.
    """
    current = manifest.current()
    tables: list[Table] = []
    for record in manifest.modules:
        if record.name in current and keeps_importance(record.method_tensors):
            tensors = _kept(folder, manifest, record)
            name = one_line(record.name)
            tables.append(importance_table(importance_map(tensors), f"{name}: importance to all skills so far"))
            own = importance_map(tensors, of_phase=True)
            tables.append(importance_table(own, f"{name}: importance to its own skill"))
    if not tables:
        raise GrowlmError(f"no module of {folder} keeps the importance of its units: grow one with method {METHODS}")
    return Group(*tables)


def importance_table(found: ImportanceMap, title: str) -> Table:
    """Draw a map as a table.

    Args:
        found: the map.
        title: the table's title.

    Returns:
        The table, to be printed with rich; the more important, the brighter.
    """
    table = Table("layer", title=Text(title), title_justify="left", box=None, padding=(0, 2, 0, 0))
    for projection in found.projections:
        table.add_column(Text(one_line(projection)), justify="right")
    for layer, values in zip(found.layers, found.values, strict=True):
        cells = [Text("") if value is None else Text(f"{value:.2g}", style=_style(value)) for value in values]
        table.add_row(Text(one_line(layer)), *cells)
    return table


def plot_importance(found: ImportanceMap, title: str = "importance of units") -> "Axes":
    """Plot a map as a heat map.

    Args:
        found: the map.
        title: the plot's title.

    Returns:
        The axes of a new plot.

    Raises:
        GrowlmError: if matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise needs_extra("a plot", "matplotlib", "plots") from None
    size = (2.5 + 0.45 * len(found.projections), 1.8 + 0.3 * len(found.layers))
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    cells = draw_importance(axes, found)
    axes.set_ylabel("layer")
    axes.set_title(title)
    figure.colorbar(cells, label="importance")
    figure.draw_without_rendering()  # lays it out
    write_numbers(axes, importance_numbers(found))
    return axes


def draw_importance(axes: "Axes", found: ImportanceMap) -> "QuadMesh":
    """Draw a map as a heat map with logarithmic colours.

    Args:
        axes: the axes to draw on.
        found: the map.

    Returns:
        The cells, for a colour bar.
    """
    from matplotlib.colors import LogNorm

    shown = [[math.nan if value is None else max(value, _LEAST) for value in row] for row in found.values]
    return draw_cells(axes, shown, found.layers, found.projections, LogNorm(_LEAST, 1), rotation=60)


def importance_numbers(found: ImportanceMap) -> list[list[str]]:
    """Write the numbers of a map as short as its cells need them, such as 0.25 and 3e-4; empty where there are none."""
    return [["" if value is None else _short(value) for value in row] for row in found.values]


def _short(value: float) -> str:
    return f"{value:.2g}" if not 0 < value < _EXPONENT_BELOW else f"{value:.0e}".replace("e-0", "e-")


def _kept(folder: Path, manifest: Manifest, record: ModuleRecord) -> "dict[str, Tensor]":
    from growlm.files import check_digests, read_tensors, tensor_digests

    file = folder / manifest.folder_of(record.name) / METHOD_FILE
    tensors = read_tensors(file)
    check_digests(tensor_digests(tensors), record.method_tensors, str(file))
    return tensors


def _place(unit: str) -> tuple[str, str]:
    """Find the layer and the projection of a unit, named ``<kind>.<path of the site>`` and perhaps a tensor."""
    site = re.sub(r"(\.[AB]|\.layer\.\w+|\.(weight|bias))$", "", unit.partition(".")[2] or unit)
    within = re.match(r"(.*?)\.(\d+)\.(.+)$", site)
    if within is None:
        return OUTSIDE, site.rpartition(".")[2]
    before, number, behind = within.groups()
    stem = before.removeprefix("model.").removesuffix("layers").rstrip(".")
    return f"{stem}.{number}".lstrip("."), behind.rpartition(".")[2]


def _natural(layer: str) -> tuple[bool, str, int]:
    """Order layers by number, those outside last."""
    stem, _, number = layer.rpartition(".")
    return layer == OUTSIDE, stem, int(number) if number.isdecimal() else -1


def _strength(value: float) -> float:
    """Return how strong a colour is, from 0 to 1: the logarithm of the importance."""
    return min(1.0, max(0.0, 1 - math.log10(max(value, _LEAST)) / math.log10(_LEAST)))


def _style(value: float) -> str:
    strength = _strength(value)
    return "bold green" if strength > 0.9 else "green" if strength > 0.7 else "" if strength > 0.4 else "dim"
