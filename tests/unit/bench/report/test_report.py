"""The report: a page that needs no other file, and the numbers it is made of."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from growlm.bench.report.charts import heat_map
from growlm.bench.report.definitions import TITLES
from growlm.bench.report.html import Section, page
from growlm.bench.report.report import NUMBERS, PAGE, PLOTS, scores_table, write_report
from growlm.bench.report.statistics import Spread
from growlm.bench.report.table import Table, to_csv, to_latex, to_markdown, without_unknown, written
from growlm.bench.run.result import CellResult
from growlm.errors import GrowlmError
from growlm.metrics.accuracy_matrix import AccuracyMatrix

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


@pytest.mark.usefixtures("without_pictures")
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


@pytest.mark.usefixtures("without_plots")
def test_the_page_says_what_was_measured(folder: Path):
    write_report(folder)
    text = (folder / PAGE).read_text()
    for words in (
        "4 cells: 3 methods, seeds 0, 1.",
        "Order 1: chat → memory → arithmetic.",
        "Each method in its own inference mode",
        "Mode routed (the router chooses)",
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


@pytest.mark.usefixtures("without_pictures")
def test_a_table_of_a_mode_has_what_was_measured_in_it(make_cell: Make, write_cells: Write):
    other = make_cell("sequential", mode="all")
    other.scores.modes["routed"][1:] = [[None] * 3 for _ in range(3)]  # only the bare base was scored
    other.routing = [[None] * 3 for _ in range(3)]
    other.composites["chat_memory"]["routed"] = None
    tables = {table.name: table for table in write_report(write_cells(make_cell(), other)).tables}
    assert [row[0] for row in tables["routed"].rows] == ["1 grow"]
    assert tables["routed"].strong == (0,)
    assert "left out" in tables["routed"].note
    assert [row[0] for row in tables["all"].rows] == ["1 grow", "2 sequential"]
    assert tables["all"].strong == (1,)
    assert "left out" not in tables["all"].note.partition("Undefined")[0]


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


@pytest.mark.usefixtures("without_plots")
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


def test_importance_is_drawn_of_what_keeps_it(make_cell: Make, write_cells: Write, draw_only: Callable[[str], None]):
    draw_only("importance")
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
def test_what_trains_nothing_has_no_curve(
    folder: Path, make_cell: Make, write_cells: Write, draw_only: Callable[[str], None]
):
    draw_only("learning")
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
