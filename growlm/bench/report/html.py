"""The page of a report: one HTML file that needs no network, for screens of any width and for paper.

Its only script sorts tables; the page is whole without it. A content security policy names that script by its digest,
so that nothing else can run, whatever a stranger's results are called.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from growlm.bench.report.plots import Plot, to_svg
from growlm.bench.report.table import Table

_STYLE = """
:root{color-scheme:light dark;--back:#fff;--text:#1b1f24;--muted:#59636e;--line:#c3cad2;--strong:#eaf2fd;
--accent:#0b62c4;--other:#d1680c}
@media(prefers-color-scheme:dark){:root{--back:#14181d;--text:#e6e9ed;--muted:#9aa4af;--line:#454e59;--strong:#1d2f47;
--accent:#6cb0ff;--other:#f0a255}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:76rem;background:var(--back);color:var(--text);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;overflow-wrap:break-word}
h1{font-size:1.6rem;line-height:1.2;margin:.5rem 0}
h2{font-size:1.2rem;margin:2.2rem 0 .6rem}
p,li,dd{max-width:46rem}
.muted,figcaption{color:var(--muted);font-size:.875rem}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem}
a{color:var(--accent)}
code{font-size:.875em;overflow-wrap:anywhere}
.scroll{overflow-x:auto;margin:0 -1rem;padding:0 1rem}
table{border-collapse:separate;border-spacing:0;font-size:.875rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.4rem 0}
th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
thead th{vertical-align:bottom;white-space:normal;min-width:4.5rem}
th:first-child,td:first-child{text-align:left;padding-left:0}
tbody th{font-weight:500;position:sticky;left:0;background:var(--back)}
tr.own th,tr.own td{background:var(--strong)}
th button{all:unset;cursor:pointer;font:inherit;text-align:inherit}
th button:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
th[aria-sort=ascending] button::after{content:" ▲"}th[aria-sort=descending] button::after{content:" ▼"}
.found{font-size:1.05rem}
dl{display:grid;gap:.1rem .8rem}
dt{font-weight:600}
dd{margin:0 0 .5rem}
.plots{display:grid;gap:1.2rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr))}
figure{margin:0;break-inside:avoid}
figcaption{color:var(--text);font-weight:600}
svg{display:block;width:100%;height:auto;max-width:27rem}
svg text{font-family:inherit!important}
@media(min-width:50rem){dl{grid-template-columns:12rem 1fr}}
@media print{.files,th button::after{display:none}:root{color-scheme:light;--back:#fff;--text:#000;--muted:#444;
--line:#bbb;--strong:#eee;--accent:#0b62c4;
--other:#d1680c}body{font-size:10pt;max-width:none;padding:0}nav{display:none}.scroll{overflow:visible;margin:0;
padding:0}table{font-size:7.5pt;width:100%}th,td{padding:.1rem .3rem;white-space:normal}thead th{min-width:0}
tr,figure,section:has(table){break-inside:avoid}h2{break-after:avoid}.plots{grid-template-columns:repeat(3,1fr);gap:.6rem}
tbody th{position:static}}
"""


_SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const value = (row, place) => row.cells[place].textContent.trim();
  const number = text => parseFloat(text.replaceAll(",", ""));
  table.querySelectorAll("thead th").forEach((header, place) => {
    const button = document.createElement("button");
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const up = header.getAttribute("aria-sort") === "descending";
      for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows].sort((one, other) => {
        const a = value(one, place), b = value(other, place), x = number(a), y = number(b);
        if (isNaN(x) || isNaN(y)) return isNaN(x) && isNaN(y) ? a.localeCompare(b) : isNaN(x) - isNaN(y);
        return up ? x - y : y - x;
      });
      body.append(...rows);
    });
  });
}
"""


@dataclass(frozen=True)
class Section:
    """Some plots under one heading.

    Args:
        title: the heading: words of letters and spaces.
        sentence: how to read the plots.
        plots: the plots.
        numbers: the file beside the page that has their numbers; empty: none.
    """

    title: str
    sentence: str
    plots: Sequence[Plot]
    numbers: str = ""

    @property
    def anchor(self) -> str:
        """The identifier of the section, and the name of its PNG."""
        return self.title.lower().replace(" ", "-")


def page(
    title: str,
    found: Sequence[str],
    facts: Sequence[str],
    notes: Mapping[str, str],
    tables: Sequence[Table],
    sections: Sequence[Section],
) -> str:
    """Write the page.

    Args:
        title: its title.
        found: what was found, in sentences.
        facts: what was run, in sentences.
        notes: definitions by what they define.
        tables: the tables; beside the page are their files ``tables/<name>.csv`` and ``.tex``.
        sections: the plots.

    Returns:
        The HTML.
    """
    return "\n".join(_lines(title, found, facts, notes, tables, sections)) + "\n"


def _lines(
    title: str,
    found: Sequence[str],
    facts: Sequence[str],
    notes: Mapping[str, str],
    tables: Sequence[Table],
    sections: Sequence[Section],
) -> Iterator[str]:
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'; base-uri 'none'"
    )
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8"/>'
    yield f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}"/>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
    yield f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
    yield f"<header><h1>{escape(title)}</h1>"
    yield f'<p class="found">{" ".join(map(escape, found))}</p>'
    links = {table.name: table.title.split(",")[0] for table in tables[:2]}
    links |= {"definitions": "Definitions", **{section.anchor: section.title for section in sections}}
    anchors = (f'<a href="#{anchor}">{escape(text)}</a>' for anchor, text in links.items())
    yield f"<nav>{' '.join(anchors)}</nav></header>"
    yield "<main>"
    for table in tables:
        yield from _table(table)
    yield '<section id="run"><h2>What was run</h2>'
    yield from (f'<p class="muted">{escape(fact)}</p>' for fact in facts)
    yield "</section>"
    yield '<section id="definitions"><h2>Definitions</h2><dl>'
    for name, text in notes.items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>"
    yield "</dl></section>"
    for section in sections:
        yield f'<section id="{section.anchor}"><h2>{escape(section.title)}</h2>'
        file = f' <span class="files"><a href="{section.numbers}">JSON</a></span>' if section.numbers else ""
        yield f'<p class="muted">{escape(section.sentence)}{file}</p><div class="plots">'
        for plot in section.plots:
            yield f"<figure><figcaption>{escape(plot.title)}</figcaption>{to_svg(plot)}</figure>"
        yield "</div></section>"
    yield f"</main><script>{_SCRIPT}</script></body></html>"


def _table(table: Table) -> Iterator[str]:
    yield f'<section id="{table.name}"><h2>{escape(table.title)}</h2>'
    if len(table.columns) > 1:  # else all of them are undefined: the note says why
        yield from _columns(table)
    files = f'<a href="tables/{table.name}.csv">CSV</a> <a href="tables/{table.name}.tex">LaTeX</a>'
    yield f'<p class="muted">{escape(table.note)} <span class="files">{files}</span></p></section>'


def _columns(table: Table) -> Iterator[str]:
    yield f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}"><table><thead><tr>'
    yield "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    yield "</tr></thead><tbody>"
    for place, (first, *rest) in enumerate(table.rows):
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        own = ' class="own"' if place in table.strong else ""
        yield f'<tr{own}><th scope="row">{escape(first)}</th>{cells}</tr>'
    yield "</tbody></table></div>"
