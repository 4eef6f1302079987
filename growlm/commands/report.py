"""``growlm report``."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from growlm.bench.report.table import Table

POSITIONAL = ("folder", "other")


def report(
    folder: Path | None = None,
    other: Path | None = None,
    from_: Path | None = None,
    out: Path | None = None,
    metric: str | None = None,
    pages: Path | None = None,
    json: bool = False,
) -> None:
    """Make a page of a benchmark's results, with plots, tables and all numbers, or compute metrics of recorded scores.

    The page is one HTML file that needs no network; beside it are its plots as PNG, its tables as CSV and LaTeX, and
    results.json.

    Args:
        folder: folder of the results of growlm bench; one that has only a results.json gets its Markdown page alone.
        other: folder of the results of another benchmark: the two are compared entry by entry, and --out gets a page.
        from_: instead of a folder, a JSON file of scores, such as a stack's accuracy.json: its metrics are printed.
        out: where to write the page; by default into the same folder.
        metric: score the answers that the cells keep by this metric instead, such as exact_match; needs --out.
        pages: folder of Markdown pages, such as docs/results: <name of the results folder>.md is written or renewed.
        json: print JSON instead of tables.
    """
    import json as json_format

    from growlm.bench.report.definitions import DEFINITIONS
    from growlm.bench.report.table import rich_table
    from growlm.errors import GrowlmError
    from growlm.terminal import safe_console

    if (folder is None) == (from_ is None):
        raise GrowlmError("give either a folder of results, such as results/five-skills-nano, or --from scores.json")
    if metric is not None and (folder is None or out is None or out.resolve() == folder.resolve()):
        raise GrowlmError(f"--metric {metric} makes another report: give a folder of results, and another with --out")
    if other is not None and (folder is None or metric is not None or pages is not None):
        raise GrowlmError("two folders are compared as they are: leave --from, --metric and --pages out")
    if from_ is not None:
        tables, files = _scores(from_)
    elif other is not None:
        tables, files = _two_runs(folder or Path(), other, out)
    else:
        tables, files = _benchmark(folder or Path(), out, metric, pages)
    if json:
        content = [[dict(zip(table.columns, row, strict=True)) for row in table.rows] for table in tables]
        print(json_format.dumps(content, indent=2, ensure_ascii=False))
        return
    console = safe_console()
    for table in tables:
        console.print(rich_table(table))
    console.print(DEFINITIONS, style="dim")
    for file in files:
        console.print(file, soft_wrap=True)


def _scores(file: Path) -> "tuple[list[Table], list[str]]":
    from growlm.bench.report.report import scores_table
    from growlm.files import read_json

    return [scores_table(read_json(file), str(file))], []


def _two_runs(first: Path, second: Path, out: Path | None) -> "tuple[list[Table], list[str]]":
    from growlm.bench.report.two_runs import write_comparison

    tables, differing, written = write_comparison(first, second, out)
    return tables, [*differing, *([str(written)] if written else [])]


def _benchmark(
    folder: Path, out: Path | None, metric: str | None, pages: Path | None
) -> "tuple[list[Table], list[str]]":
    from growlm.bench.report.markdown import NUMBERS, is_summary, metrics_table, read_numbers, write_results_page
    from growlm.bench.report.report import write_report
    from growlm.terminal import counted

    if is_summary(folder) and metric is None:
        tables, files = [metrics_table(read_numbers(folder / NUMBERS))], []
    else:
        done = write_report(folder, out, metric)
        tables = [table for table in done.tables if table.name in ("own", "test", "desiderata", "cost")]
        left_out = f" ({counted(done.unfinished, 'unfinished cell')} left out)" if done.unfinished else ""
        files = [f"{done.page}{left_out}"]
    if pages is not None:
        files.append(str(write_results_page(out or folder, pages)))
    return tables, files
