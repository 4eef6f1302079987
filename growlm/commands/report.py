"""``growlm report``."""

from pathlib import Path

POSITIONAL = ("folder",)


def report(folder: Path | None = None, from_: Path | None = None, out: Path | None = None, json: bool = False) -> None:
    """Make a page of a benchmark's results, with figures and all numbers, or read the figures off recorded scores.

    The page is one HTML file that needs no network and no script; beside it are its figures as PNG and results.json.

    Args:
        folder: folder of the results of growlm bench.
        from_: instead of a folder, a JSON file of scores, such as a stack's accuracy.json: the figures are printed.
        out: where to write the page; left out: into the same folder.
        json: print JSON instead of tables.
    """
    import json as json_format

    from rich.console import Console

    from growlm.bench.report.report import scores_table, write_report
    from growlm.bench.report.tables import SIGNS, rich_table
    from growlm.errors import GrowlmError
    from growlm.files import read_json

    if (folder is None) == (from_ is None):
        raise GrowlmError("give either a folder of results, such as results/five-skills-nano, or --from scores.json")
    console = Console(highlight=False)
    if from_ is not None:
        tables = [scores_table(read_json(from_), str(from_))]
    else:
        assert folder is not None
        done = write_report(folder, out)
        tables = [table for table in done.tables if table.name in ("own", "desiderata", "cost")]
    if json:
        content = [[dict(zip(table.columns, row, strict=True)) for row in table.rows] for table in tables]
        print(json_format.dumps(content, indent=2, ensure_ascii=False))
        return
    for table in tables:
        console.print(rich_table(table))
    console.print(SIGNS, style="dim")
    if from_ is None:
        left = f" ({done.unfinished} unfinished cells are left out)" if done.unfinished else ""
        console.print(f"{done.page}{left}", soft_wrap=True)
