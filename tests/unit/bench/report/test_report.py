"""The report: a page that needs no other file, and the numbers it is made of."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from growlm.bench.report.charts import bars, curve, heat_map, importance, scatter
from growlm.bench.report.definitions import TITLES
from growlm.bench.report.html import Section, page
from growlm.bench.report.markdown import metrics_table, read_numbers, results_page, write_results_page
from growlm.bench.report.plots import to_svg, write_png
from growlm.bench.report.report import NUMBERS, PAGE, PLOTS, scores_table, write_report
from growlm.bench.report.statistics import Spread
from growlm.bench.report.table import Table, to_csv, to_latex, to_markdown, without_unknown, written
from growlm.bench.run.result import CellResult
from growlm.errors import GrowlmError
from growlm.metrics.accuracy_matrix import AccuracyMatrix
from growlm.show.importance import ImportanceMap

Make = Callable[..., CellResult]
Write = Callable[..., Path]

EVIL = "<script>alert(1)</script>&\"'"
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Strict(HTMLParser):
    """Sees that what is opened is closed, that identifiers are unique, and what is referred to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._see(tag, dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._see(tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def _see(self, tag: str, attrs: dict[str, str | None]) -> None:
        self.tags.add(tag)
        self.attributes |= set(attrs)
        self.ids += [value for key, value in attrs.items() if key == "id" and value]
        self.links += [value for key, value in attrs.items() if key in ("href", "src", "xlink:href") and value]


@pytest.fixture
def folder(make_cell: Make, write_cells: Write) -> Path:
    """Three methods: one grows, one forgets, one learns all at once; the first with two seeds."""
    joint = make_cell("joint", at_once=True, mode="all")
    return write_cells(make_cell(), make_cell(seed=1), make_cell("sequential", mode="all"), joint)


def test_the_page_stands_on_its_own(folder: Path):
    write_report(folder)
    text = (folder / PAGE).read_text()
    page = Strict()
    page.feed(text)
    assert page.open == [], "everything that was opened is closed"
    assert len(set(page.ids)) == len(page.ids)
    inner = [link[1:] for link in page.links if link.startswith("#")]
    assert set(inner) <= set(page.ids)
    files = [link for link in page.links if not link.startswith(("#", "data:image/png;base64,"))]
    assert all((folder / link).is_file() for link in files)
    assert not page.tags & {"link", "img", "iframe", "object"}
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#x27;sha256-{digest}&#x27;" in text, "the policy allows this script and no other"
    assert not re.search(r"url\((?!#)|@import", text), "the style asks for nothing either"
    assert set(re.findall(r"https?://[^\s\"<]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    used = set(re.findall(r"url\(#([^)]+)\)", text))
    assert used <= set(page.ids)


@pytest.mark.usefixtures("without_pictures")
def test_the_page_says_what_was_measured(folder: Path):
    write_report(folder)
    text = (folder / PAGE).read_text()
    for words in (
        "4 cells: 3 methods, seeds 0, 1.",
        "Order 1: chat → memory → arithmetic.",
        "Each method in its own inference mode",
        "All methods in mode routed (the router chooses)",
        "(mode routed) has the highest average performance, 58.3 ± 0.0 over 2 cells",
        "grow forgot most: its scores changed by -50.0 ± 0.0 after learning.",
        "The bare base scores 25.0",
        "negative means forgotten",
        "General ability that training cost",
    ):
        assert words in text
    # AP, BWT and forgetting of the hand-made matrix, in points
    assert "<td>routed</td><td>58.3 ± 0.0</td><td>-50.0 ± 0.0</td><td>50.0 ± 0.0</td>" in text
    assert "<td>all</td><td>58.3</td><td>n/a (one phase)</td>" in text, "all at once has no BWT"


def test_plots_and_numbers_are_beside_the_page(folder: Path, tmp_path: Path):
    done = write_report(folder, tmp_path / "elsewhere")
    assert done.page.parent == tmp_path / "elsewhere"
    plots = sorted(path.name for path in (tmp_path / "elsewhere" / PLOTS).iterdir())
    assert plots == ["composition.png", "cost-against-ap.png", "heat-maps.png", "learning.png", "retention.png"]
    numbers = json.loads((tmp_path / "elsewhere" / NUMBERS).read_text())
    entries = {entry["label"]: entry for entry in numbers["entries"]}
    assert entries["grow"]["metrics"]["routed"]["bwt"] == {"mean": -0.5, "deviation": 0.0, "count": 2}
    assert entries["grow"]["desiderata"]["composition"]["mean"] == pytest.approx(0.5)
    assert entries["joint"]["metrics"]["all"]["bwt"]["mean"] is None
    assert entries["sequential"]["matrices"]["1"]["all"][3] == [0.25, 0.5, 1.0]


def test_the_same_results_give_the_same_page(folder: Path, tmp_path: Path):
    pages = [write_report(folder, tmp_path / name).page.read_bytes() for name in ("one", "other")]
    assert pages[0] == pages[1]


@pytest.mark.usefixtures("without_pictures")
def test_names_from_files_cannot_break_the_page(make_cell: Make, write_cells: Write):
    cell = make_cell()
    cell.environment = {"machine": EVIL}
    cell.settings["stream"] = EVIL
    cell.base["source"] = EVIL
    cell.settings["phase"] = {"steps": EVIL}
    folder = write_cells(cell)
    (folder / "bench.json").write_text(json.dumps({"command": EVIL}))
    write_report(folder)
    text = (folder / PAGE).read_text()
    assert text.count("<script") == 1, "the page's own"
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(1)") >= 4


@pytest.mark.usefixtures("without_plots")
def test_losses_are_not_shown_as_points(make_cell: Make, write_cells: Write):
    folder = write_cells(make_cell(metric="loss"))
    write_report(folder)
    assert "<td>-0.583</td><td>0.500</td>" in (folder / PAGE).read_text()


def test_importance_is_drawn_of_what_keeps_it(make_cell: Make, write_cells: Write):
    kept = {"layers": ["0", "1"], "projections": ["q_proj", "$x$"], "values": [[0.5, None], [1e-9, 1.0]]}
    folder = write_cells(make_cell("grow"), make_cell("kif", importance=kept))
    page = write_report(folder).page.read_text("utf-8")
    assert page.count("<h2>Importance</h2>") == 1
    assert (folder / "plots" / "importance.png").read_bytes().startswith(b"\x89PNG")
    assert "importance1" in page
    assert "mathdefault" not in page  # the scale of the colours is in plain numbers
    assert "importance0" not in page


@pytest.mark.usefixtures("without_plots")
def test_a_benchmark_without_composites_has_no_table_of_them(make_cell: Make, write_cells: Write):
    done = write_report(write_cells(make_cell(composites={})))
    names = ["own", "test", "per-skill", "per-seed", "desiderata", "exposure", "efficiency", "plasticity"]
    names += ["cost", "oracle", "routed", "all"]
    assert [table.name for table in done.tables] == names
    assert not (done.page.parent / PLOTS / "composition.png").exists()


@pytest.mark.parametrize(
    ("spread", "decimals", "scale", "shown"),
    [
        (Spread(0.5, 0.25, 2), 1, 100, "50.0 ± 25.0"),
        (Spread(0.5, float("nan"), 1), 2, 1, "0.50"),
        (Spread(-0.0001, float("nan"), 1), 1, 1, "0.0"),
        (Spread(float("nan"), float("nan"), 0), 1, 1, "n/a"),
        (Spread(1234.5, float("nan"), 1), 0, 1, "1,234"),
    ],
)
def test_numbers_as_written(spread: Spread, decimals: int, scale: float, shown: str):
    assert written(spread, decimals, scale) == shown


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


def test_figures_of_recorded_scores():
    matrix = AccuracyMatrix(2)
    for after, skill, score in [(0, 0, 0.0), (1, 0, 1.0), (2, 0, 0.5), (2, 1, 0.25)]:
        matrix.update(after, skill, score)
    table = scores_table(matrix.to_json(["chat", "memory"], "routed"), "scores.json")
    assert table.columns == ("mode", *TITLES.values(), "missing cells (after, skill)")
    assert table.rows == (("routed", "0.3750", "-0.5000", "0.5000", "0.6250", "n/a", "fwt: (0, 1), (1, 1)"),)


def test_scores_of_another_version_are_refused():
    with pytest.raises(GrowlmError, match=r"old.json: scores of format version 1"):
        scores_table({"format_version": 1, "num_skills": 2, "scores": []}, "old.json")


@pytest.mark.usefixtures("without_plots")
def test_an_order_of_a_stranger_is_text_and_nothing_else(make_cell: Make, write_cells: Write):
    order = '../../x" onload="alert(1)'
    cell = make_cell()
    cell.settings["order"] = order
    cell.settings["label"] = '<img src=x onerror="alert(2)">'
    folder = write_cells(make_cell()).parent / "foreign"
    cell.write(folder / "cells" / "a" / "b" / "c" / "cell.json")
    before = {path for path in folder.parent.rglob("*") if folder not in path.parents}
    text = write_report(folder).page.read_text()
    page = Strict()
    page.feed(text)
    assert page.open == []
    assert not page.tags & {"img"}
    assert not [name for name in page.attributes if name.startswith("on")]
    assert all(re.fullmatch(r"[\w.-]+", name) for name in page.ids)
    assert {path for path in folder.parent.rglob("*") if folder not in path.parents} == before


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


def test_a_table_without_a_column_is_its_note_and_links_are_whole():
    plots = [heat_map("a", "map", [[0.5], [0.5]], ["one"], percent=True)]
    sections = [Section("Heat maps", "How.", plots, NUMBERS), Section("Cost against AP", "How.", plots)]
    text = page("title", [], [], {}, [Table("t", "Title", ("method",), (("a",),), note="Why.")], sections)
    assert "<table>" not in text
    assert '<p class="muted">Why. ' in text
    assert text.count('<a href="results.json">') == 1
    assert "nav{display:flex;flex-wrap:wrap;" in text, "a link is not broken over lines of a telephone"


def test_columns_without_a_value_are_left_out_and_named():
    columns = ("method", "AP", "p", "remark", "FWT", "BWT")
    rows = (("a", "1.0", "n/a", "", "n/a (one phase)", "n/a (one phase)"), ("b", "", "n/a", "", "n/a (why)", "0.5"))
    left = without_unknown(Table("t", "title", columns, rows, note="Before."))
    assert left.columns == ("method", "AP", "BWT")
    assert left.rows == (("a", "1.0", "n/a (one phase)"), ("b", "", "0.5"))
    assert left.note == "Before. Undefined in every row, and left out: p, FWT (one phase; why)."
    assert without_unknown(left) == left


@pytest.mark.usefixtures("without_plots")
def test_no_table_of_a_page_has_a_column_without_a_value(folder: Path):
    done = write_report(folder)
    assert all(any(row[place] for row in table.rows) for table in done.tables for place in range(len(table.columns)))
    text = (folder / PAGE).read_text()
    assert "FWT ↑ (needs --matrix full; one phase)" in text
    assert "intransigence ↓ (needs a per_skill entry; one phase)" in text
    assert ">FWT ↑</th>" not in text


@pytest.mark.usefixtures("without_plots")
def test_every_head_of_a_column_is_defined_once(make_cell: Make, write_cells: Write):
    joint = make_cell("joint", at_once=True, mode="all")
    cells = [make_cell(blimp={"base": 0.5, "all": 0.6}), make_cell("sequential", mode="all"), joint]
    for cell in cells:
        cell.general = {"divergence": {"base": 0.0, cell.mode: 0.5}}
    done = write_report(write_cells(*cells))
    terms = re.findall(r"<dt>(.*?)</dt>", done.page.read_text())
    assert len(set(terms)) == len(terms)
    of_names = ("per-skill", "per-seed", "composites")  # skills and cells: the caption says what their numbers are
    heads = {head.rstrip(" ↑↓") for table in done.tables if table.name not in of_names for head in table.columns}
    assert {"old rows, %", "routing accuracy", "method", "pairs", "share of range, %", "BLiMP, points"} <= heads
    assert heads - {term.replace("&#x27;", "'") for term in terms} == set()


@pytest.mark.usefixtures("without_plots")
def test_the_page_says_what_the_phases_of_all_entries_were(make_cell: Make, write_cells: Write):
    cells = [make_cell(), make_cell("sequential"), make_cell("joint", at_once=True)]
    cells[0].settings["phase"] = {"steps": 5, "learning_rate": 0.1}
    cells[1].settings["phase"] = {"steps": 5, "learning_rate": 0.2, "router": "none"}
    cells[2].settings["phase"] = {"steps": 5, "learning_rate": 0.2, "router": "none", "batch_size": 2}
    text = write_report(write_cells(*cells)).page.read_text()
    assert "Each phase: steps 5." in text
    assert "Different by entry: router not set in grow; none in joint, sequential." in text
    assert "Different by entry: batch_size not set in grow, sequential; 2 in joint." in text


@pytest.mark.usefixtures("without_pictures")
def test_what_trains_nothing_has_no_curve(folder: Path, make_cell: Make, write_cells: Write):
    untrained = make_cell("k_shot", costs=[{**phase, "tokens": 0} for phase in make_cell().costs])
    assert write_cells(untrained) == folder
    text = write_report(folder).page.read_text()
    assert "Left out, as it trains nothing: 3 k_shot." in text
    assert "learning2-" in text
    assert "learning3-" not in text, "three of four entries train"


@pytest.mark.usefixtures("without_plots")
def test_a_single_curve_is_left_out(make_cell: Make, write_cells: Write):
    text = write_report(write_cells(make_cell())).page.read_text()
    assert 'id="heat-maps"' in text
    assert 'id="learning"' not in text


HARD = Table("t", "50 % & more", ("method", "a|b"), (("x_1", "=cmd()"), ("<b>", "-1.5 ± 0.1")))


def test_a_table_as_csv_latex_and_markdown():
    assert to_csv(HARD) == "method,a|b\nx_1,'=cmd()\n<b>,-1.5 ± 0.1\n"
    latex = to_latex(HARD)
    assert r"\caption{50 \% \& more}" in latex
    assert r"$<$b$>$ & -1.5 $\pm$ 0.1 \\" in latex
    assert to_markdown(Table("t", "", ("method", "mode"), (("x", "all"),))).splitlines()[1] == "| --- | --- |"
    assert to_markdown(HARD) == ("| method | a\\|b |\n| --- | --: |\n| x\\_1 | =cmd() |\n| &lt;b&gt; | -1.5 ± 0.1 |\n")


@pytest.mark.usefixtures("without_plots")
def test_a_markdown_page_keeps_what_is_written_around_its_tables(folder: Path, tmp_path: Path):
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
