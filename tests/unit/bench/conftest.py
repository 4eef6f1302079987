"""Cells written by hand, with numbers that can be worked out in the head."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from growlm.bench.plan.cell import CELL_FILE, CELLS
from growlm.bench.report import html, report
from growlm.bench.run.result import CellResult

SKILLS = ("chat", "memory", "arithmetic")
# after each phase, the score of each skill that has been learned; row 0 is the bare base
LOWER = [[0.0, 0.25, 0.5], [1.0], [0.5, 0.75], [0.25, 0.5, 1.0]]


def settings(label: str = "grow", seed: int = 0, order: str = "1", **changes: Any) -> dict[str, Any]:
    return {
        "label": label,
        "method": label,
        "options": {},
        "stream": "three",
        "order": order,
        "skills": [{"name": name, "skill": name, "options": {}} for name in SKILLS],
        "composites": {"chat_memory": ["chat", "memory"]},
        "base": "nano",
        "phase": {"steps": 5, "num_scored": 4, "stories": "unseen.txt"},
        "seed": seed,
        "matrix": "lower",
        "blimp": None,
        **changes,
    }


def cost(tokens: int, replayed_rows: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "name": "x",
        "steps": 5,
        "tokens": tokens,
        "rows": 20,
        "replayed_rows": replayed_rows,
        "seconds": 2.0,
        "wall_seconds": 3.0,
        "trained": 100,
        "added": 100,
        "active": 1_100,
        "stored_bytes": 400,
        "flops": tokens * 10,
        "peak_bytes": 2_000_000,
        "losses": [[5, 1.5]],
        **changes,
    }


def make(
    label: str = "grow",
    seed: int = 0,
    at_once: bool = False,
    mode: str = "routed",
    metric: str = "contains",
    **changes: Any,
) -> CellResult:
    order = "any" if at_once else "1"
    result = CellResult.new(settings(label, seed, order), mode, at_once)
    result.environment = {"python": "3.11", "machine": "an abacus"}
    result.base = {"source": "nano", "digest": "d" * 64, "parameters": 1_000}
    for after, row in enumerate(LOWER):
        if at_once and after in (1, 2):
            continue
        for skill, value in zip(SKILLS, row, strict=False):
            for used in ("oracle", "routed", "all"):
                loss = {"chat": 2.0, "memory": 5.0, "arithmetic": 3.0}[skill]
                result.record(after, skill, used, {"value": value, "loss": loss, "metric": metric})
    result.routing = [[1.0, None, None], [1.0, 0.5, None], [1.0, 0.5, 0.75]]
    for used, last in (("oracle", 1.0), ("routed", 1.125), ("all", 1.5)):
        result.stories[used] = [1.0, 1.0, last] if at_once else [1.0, 1.0, 1.0, last]
    result.composites = {"chat_memory": {"base": 0.25, "oracle": 0.75, "routed": 0.5, "all": 0.75}}
    result.costs = [cost(600)] if at_once else [cost(100), cost(200, replayed_rows=2), cost(300, replayed_rows=4)]
    result.finished = True
    for key, value in changes.items():
        setattr(result, key, value)
    return result


@pytest.fixture
def make_cell() -> Callable[..., CellResult]:
    return make


@pytest.fixture
def write_cells(tmp_path: Path) -> Callable[..., Path]:
    """Write cells into a folder of results."""

    def write(*cells: CellResult) -> Path:
        for cell in cells:
            kept = cell.settings
            place = Path(kept["label"]) / f"order-{kept['order']}" / f"seed-{kept['seed']}"
            cell.write(tmp_path / "results" / CELLS / place / CELL_FILE)
        return tmp_path / "results"

    return write


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the files of pictures where a test reads the page alone."""
    monkeypatch.setattr(report, "write_png", lambda *args, **kwargs: None)


@pytest.fixture
def without_plots(without_pictures: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing where a test reads numbers and text alone."""
    monkeypatch.setattr(html, "to_svg", lambda plot: "<svg></svg>")


@pytest.fixture
def draw_only(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Draw the plots of one section where a test reads those alone."""

    def draw_only(section: str) -> None:
        svg, png = html.to_svg, report.write_png
        monkeypatch.setattr(html, "to_svg", lambda plot: svg(plot) if plot.name.startswith(section) else "<svg></svg>")
        monkeypatch.setattr(report, "write_png", lambda plots, path: png(plots, path) if path.stem == section else None)

    return draw_only
