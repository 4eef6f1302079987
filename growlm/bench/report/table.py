"""A table of words, and the forms it is written in: terminal, CSV, LaTeX and Markdown."""

import csv
import io
import math
import re
from dataclasses import dataclass, replace

from rich.table import Table as RichTable
from rich.text import Text

from growlm.bench.report.statistics import Spread
from growlm.errors import one_line
from growlm.terminal import markdown_text

NOT_KNOWN = "n/a"


@dataclass(frozen=True)
class Table:
    """A table of words.

    Args:
        name: its identifier, which is also the name of its files.
        title: its caption.
        columns: the columns' titles.
        rows: the cells, as many as there are columns; the first is a row's title.
        strong: numbers of the rows that are set off.
        note: a sentence under it.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: tuple[int, ...] = ()
    note: str = ""


def without_unknown(table: Table) -> Table:
    """Leave out the columns in which no row has a value.

    Returns:
        The table without them; its note names those that are undefined, with the reasons that their cells gave.
    """
    kept, undefined = [0], list[str]()
    for place, title in enumerate(table.columns[1:], 1):
        cells = dict.fromkeys(row[place] for row in table.rows if row[place])
        if not all(cell.startswith(NOT_KNOWN) for cell in cells):
            kept.append(place)
        elif cells:
            reasons = [cell.removeprefix(f"{NOT_KNOWN} (").removesuffix(")") for cell in cells if cell != NOT_KNOWN]
            undefined.append(f"{title} ({'; '.join(reasons)})" if reasons else title)
    note = f"Undefined in every row, and left out: {', '.join(undefined)}." if undefined else ""
    columns, *rows = (tuple(row[place] for place in kept) for row in (table.columns, *table.rows))
    return replace(table, columns=columns, rows=tuple(rows), note=f"{table.note} {note}".strip())


def written(measured: Spread, decimals: int, scale: float = 1, spread: bool = True, reason: str = "") -> str:
    """Write a metric for people.

    Args:
        measured: the metric.
        decimals: with how many decimals.
        scale: factor, such as 100 for percent.
        spread: with its standard deviation, where that is known.
        reason: why it is undefined, where it is.
    """
    if math.isnan(measured.mean):
        return f"{NOT_KNOWN} ({reason})" if reason else NOT_KNOWN
    mean = number(scale * measured.mean, decimals)
    if not spread or math.isnan(measured.deviation):
        return mean
    return f"{mean} ± {scale * measured.deviation:.{decimals}f}"


def number(value: float, decimals: int) -> str:
    """Write a number with thousands separated and no minus before zero."""
    text = f"{value:,.{decimals}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text


def rich_table(table: Table) -> RichTable:
    """Return a table for the terminal."""
    shown = RichTable(title=Text(table.title), title_justify="left")
    for place, column in enumerate(table.columns):
        shown.add_column(Text(column), justify="right" if place else "left")
    for row in table.rows:
        shown.add_row(*map(Text, row))
    return shown


def to_csv(table: Table) -> str:
    """Write a table as CSV; a cell that a spreadsheet would take for a formula gets an apostrophe before it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([[_inert(cell) for cell in row] for row in (table.columns, *table.rows)])
    return buffer.getvalue()


def to_latex(table: Table) -> str:
    """Write a table as LaTeX for the package ``booktabs``."""
    lines = [
        r"\begin{table}",
        rf"\caption{{{_latex(table.title)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\toprule",
        " & ".join(map(_latex, table.columns)) + r" \\",
        r"\midrule",
        *(" & ".join(map(_latex, row)) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def to_markdown(table: Table) -> str:
    """Write a table as Markdown: columns of numbers at the right; text that would be markup is escaped."""
    places = range(1, len(table.columns))
    numeric = [any(re.search(r"\d", row[place]) for row in table.rows) for place in places]
    escaped = [tuple(map(markdown_text, row)) for row in (table.columns, *table.rows)]
    rows = [escaped[0], ("---", *("--:" if known else "---" for known in numeric)), *escaped[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
    "→": r"$\to$", "<": r"$<$", ">": r"$>$", "≥": r"$\geq$", "…": r"\dots{}",
}  # fmt: skip


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in one_line(text))


def _inert(cell: str) -> str:
    is_number = re.fullmatch(r"[-+]?[\d,.]+( ± [\d,.]+)?", cell) is not None
    return f"'{cell}" if cell[:1] in tuple("=+-@\t\r") and not is_number else cell
