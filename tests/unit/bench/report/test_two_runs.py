"""Two benchmarks side by side, from cells that are worked out by hand."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from growlm.bench.report.report import write_report
from growlm.bench.report.two_runs import differences_table, what_differs, write_comparison
from growlm.bench.run.result import CellResult
from growlm.cli.main import main
from growlm.errors import GrowlmError
from growlm.manifest.scores import MODES

pytestmark = pytest.mark.usefixtures("without_plots")
Make = Callable[..., CellResult]


@pytest.fixture
def runs(without_plots: None, make_cell: Make, write_cells: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """Two runs of grow, whose last scores differ by a quarter in the skill memory; the second has joint, too."""
    write_report(write_cells(make_cell()))
    first = tmp_path / "first"
    (tmp_path / "results").rename(first)
    better = make_cell()
    for mode in MODES:
        better.scores.modes[mode][3][1] = 0.75
    second = write_cells(better, make_cell("joint", at_once=True, mode="all"))
    write_report(second)
    return first, second


def test_entries_are_compared(runs: tuple[Path, Path]):
    table = differences_table(*runs)
    assert table.rows == (
        ("grow", "58.3", "66.7", "+8.3", "-50.0", "-37.5", "+12.5", "n/a (1 pair cannot give p below 1)"),
        ("joint", "n/a", "58.3", *["n/a"] * 4, "n/a (needs the cells of both)"),
    )
    assert what_differs(*runs) == ["Different orders: ['1'] in the first, ['1', 'any'] in the second."]


def test_what_was_run_otherwise_is_said(runs: tuple[Path, Path]):
    path = runs[1] / "results.json"
    numbers = json.loads(path.read_text())
    numbers["base"]["digest"] = "e" * 64
    del numbers["data"]
    path.write_text(json.dumps(numbers))
    found = what_differs(*runs)
    assert "Different base: dddddddddddd in the first, eeeeeeeeeeee in the second." in found
    assert any(line.startswith("Different test examples: {") and "not recorded" in line for line in found)


def test_published_results_need_no_cells(runs: tuple[Path, Path]):
    for folder in runs:
        shutil.rmtree(folder / "cells")
    assert differences_table(*runs).rows[0][-1] == "n/a (needs the cells of both)"


def test_the_page_of_two_runs(runs: tuple[Path, Path], tmp_path: Path):
    _, _, page = write_comparison(*runs, tmp_path / "page")
    assert page is not None
    assert "<td>+8.3</td>" in page.read_text()
    assert (tmp_path / "page/tables/two-runs.csv").read_text().startswith("method,")


def test_the_command_compares_two_folders(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]):
    assert main(["report", str(runs[0]), str(runs[1]), "--json", "true"]) == 0
    (table,) = json.loads(capsys.readouterr().out)
    assert table[0]["AP ↑, difference"] == "+8.3"
    assert main(["report", str(runs[0]), str(runs[1]), "--metric", "contains", "--out", "elsewhere"]) == 2


def test_runs_without_a_common_entry_are_refused(runs: tuple[Path, Path]):
    path = runs[1] / "results.json"
    path.write_text(path.read_text().replace('"grow"', '"grown"'))
    with pytest.raises(GrowlmError, match="have no entry in common: grow; "):
        differences_table(*runs)
    path.unlink()
    with pytest.raises(GrowlmError, match=r"has no results\.json: write it with growlm report"):
        differences_table(*runs)
