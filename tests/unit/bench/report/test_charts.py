"""The plots of a report: whole, readable, and with their numbers."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from growlm.bench.report.charts import bars, curve, heat_map, importance, scatter
from growlm.bench.report.plots import to_svg, write_png
from growlm.show.importance import ImportanceMap


def test_every_plot_is_whole_as_svg_and_as_png(tmp_path: Path):
    matrix = [[0.1, None], [0.5, 0.2], [0.25, 1.0]]
    plots = [
        heat_map("a", r"A & <B> \1 $x", matrix, ["one", "two"], percent=True),
        heat_map("b", "losses", matrix, ["one", "two"], percent=False),
        heat_map("c", "many", [[0.5] * 15] * 16, [f"skill{i}" for i in range(15)], percent=True),
        curve("d", "curve", [(0, 0), (1, 2)], [[(0, 1), (1, 0)]], ("x", "y")),
        bars("e", "bars", [("one", 3.0), ("two", float("nan"))], [("base", 1.0), ("joint", float("nan"))]),
        scatter("f", "near", [("1", 2.0, 3.0), ("2", 3.0, float("nan"))], ("x", "y")),
        scatter("g", "far", [("1", 2.0, 3.0), ("2", 3_000.0, 4.0)], ("x", "y")),
    ]
    for plot in plots:
        svg = to_svg(plot)
        root = ElementTree.fromstring(svg)
        assert root.get("aria-label") == plot.title
        assert "viewBox" in root.attrib
        assert "width" not in root.attrib, "the page decides how wide it is"
        assert "currentColor" in svg, "text has the page's colour"
        assert not re.search(r"#0[1-9a]0[1-9a]0[1-9a]", svg), "no placeholder colour is left"
    write_png(plots[3:4] * 4, tmp_path / "plots" / "plots.png")
    assert (tmp_path / "plots" / "plots.png").read_bytes().startswith(b"\x89PNG")


def words_of(svg: str) -> list[str]:
    """List the texts of a plot, with those of the axes."""
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_a_heat_map_of_one_phase_has_no_rows_of_single_skills():
    matrix = [[0.1, 0.2], [None, None], [0.7, 0.8]]
    svg = to_svg(heat_map("a", "joint", matrix, ["one", "two"], percent=True, at_once=True))
    assert {"base", "after all", "10", "20", "70", "80"} <= set(words_of(svg))
    assert "after one" not in svg
    assert "font-weight" not in svg, "no cell is that of its own phase"
    assert to_svg(heat_map("a", "own", matrix, ["one", "two"], percent=True)).count("font-weight: 700") == 1


@pytest.mark.parametrize(("count", "shown"), [(8, True), (15, True), (40, False)])
def test_a_heat_map_has_numbers_where_its_cells_have_room(count: int, shown: bool):
    matrix = [[0.51] * count] * (count + 1)
    svg = to_svg(heat_map("a", "many", matrix, [f"s{i}" for i in range(count)], percent=True))
    assert words_of(svg).count("51") == (count * (count + 1) if shown else 0)


def test_a_map_of_importance_has_numbers():
    found = ImportanceMap(("0", "1"), ("q_proj", "v_proj"), ((0.25, None), (1e-9, 1.0)))
    assert {"0.25", "1e-9", "1"} <= set(words_of(to_svg(importance("a", "kif", found))))


def test_what_costs_nothing_is_named_below_a_plot_of_costs():
    points = [("1", 2.0, 30.0), ("2", 300.0, 40.0), ("24", 0.0, 15.4)]
    words = words_of(to_svg(scatter("a", "far", points, ("TFLOPs", "AP"))))
    assert "at 0, not drawn: 24 (15.4)" in words
    assert "24" not in words, "there is no place for it on a logarithmic axis"
    assert not [text for text in words_of(to_svg(scatter("a", "far", points[:2], ("x", "y")))) if "at 0" in text]
