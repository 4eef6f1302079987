"""The Markdown page of an experiment, made of its numbers alone."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from growlm.bench.report.markdown import metrics_table, read_numbers, results_page, write_results_page
from growlm.bench.report.report import NUMBERS, write_report
from growlm.bench.run.result import CellResult
from growlm.errors import GrowlmError

Make = Callable[..., CellResult]
Write = Callable[..., Path]


@pytest.mark.usefixtures("without_plots")
def test_a_markdown_page_keeps_what_is_written_around_its_tables(make_cell: Make, write_cells: Write, tmp_path: Path):
    folder = write_cells(make_cell(), make_cell(seed=1))
    write_report(folder)
    page = write_results_page(folder, tmp_path / "pages")
    text = page.read_text()
    assert page.name == "results.md"
    assert "| grow | routed | 58.3 ± 0.0 | -50.0 ± 0.0 | 50.0 ± 0.0 |" in text
    assert "growlm report results/results" in text
    page.write_text(f"# Mine\n\nBefore.\n\n{text[text.index('<!--') :].replace('58.3', '99.9')}\nAfter.\n")
    write_results_page(folder, tmp_path / "pages")
    renewed = page.read_text()
    assert renewed.startswith("# Mine\n\nBefore.\n")
    assert renewed.endswith("\nAfter.\n")
    assert "58.3 ± 0.0" in renewed
    assert "99.9" not in renewed
    page.write_text("no markers")
    with pytest.raises(GrowlmError, match="has no generated part"):
        write_results_page(folder, tmp_path / "pages")


PUBLISHED = sorted((Path(__file__).parents[4] / "results").glob("*/results.json"))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_published_results_of_older_versions_are_read_with_their_numbers(path: Path):
    numbers = read_numbers(path)
    stored = {entry["label"]: entry for entry in json.loads(path.read_text())["entries"]}
    table = metrics_table(numbers)
    assert len(table.rows) == len(stored)
    for label, mode, ap, *_ in table.rows:
        entry = stored[label]
        mean = entry.get("metrics", entry.get("figures"))[mode]["ap"]["mean"]
        assert ap.startswith(f"{100 * mean:.1f}")
    assert results_page(numbers, "growlm bench", path.parent.name).count("\n| ") == len(stored) + 2


@pytest.mark.parametrize(
    ("content", "said"),
    [({"format_version": 7}, "format version 7"), ([], "format version None"), ({"format_version": 1}, "no entries")],
)
def test_other_numbers_are_refused(tmp_path: Path, content: object, said: str):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(content))
    with pytest.raises(GrowlmError, match=said):
        read_numbers(path)
    path.write_text('{"format_version": 1, "entries": [{}], "base": {}}')
    with pytest.raises(GrowlmError, match="lacks a field"):
        results_page(read_numbers(path), None, "x")


@pytest.mark.usefixtures("without_plots")
def test_pages_say_what_retention_cannot_show(make_cell: Make, write_cells: Write):
    cell = make_cell()
    write_report(folder := write_cells(cell))
    numbers = read_numbers(folder / NUMBERS)
    assert not re.search("Retention (in these|is undefined)", results_page(numbers, None, "x"))
    assert "Retention in these results of version 0.1" in results_page({**numbers, "format_version": 1}, None, "x")
    numbers["entries"][0]["desiderata"]["retention"]["mean"] = None
    assert "Retention is undefined here" in results_page(numbers, None, "x")


@pytest.mark.usefixtures("without_plots")
def test_a_page_has_and_explains_only_columns_with_values(make_cell: Make, write_cells: Write):
    write_report(folder := write_cells(make_cell()))
    numbers = read_numbers(folder / NUMBERS)
    columns = metrics_table(numbers).columns
    assert "retention, bits per byte ↓" in columns
    assert "FWT ↑" not in columns, "needs the whole matrix"
    page = results_page(numbers, None, "x")
    assert "Retention: " in page
    assert "FWT: " not in page
    heads = [column.partition(",")[0].rstrip(" ↑↓") for column in columns]
    assert [head for head in heads if f"{head[0].upper()}{head[1:]}: " not in page] == []
    assert "±" not in page, "one cell has no deviation"
    numbers["entries"][0]["desiderata"]["retention"]["mean"] = None
    assert "retention, bits per byte ↓" not in metrics_table(numbers).columns
    assert "Retention: " not in results_page(numbers, None, "x")
