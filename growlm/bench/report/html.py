"""The page of a report: one HTML file that needs no network and no script, for screens of any width and for paper."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from growlm.bench.report.plots import Figure, to_svg
from growlm.bench.report.tables import Table

_STYLE = """
:root{color-scheme:light dark;--back:#fff;--text:#1b1f24;--quiet:#59636e;--line:#c3cad2;--strong:#eaf2fd;
--accent:#0b62c4;--other:#d1680c}
@media(prefers-color-scheme:dark){:root{--back:#14181d;--text:#e6e9ed;--quiet:#9aa4af;--line:#454e59;--strong:#1d2f47;
--accent:#6cb0ff;--other:#f0a255}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:76rem;background:var(--back);color:var(--text);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;overflow-wrap:break-word}
h1{font-size:1.6rem;line-height:1.2;margin:.5rem 0}
h2{font-size:1.2rem;margin:2.2rem 0 .6rem}
p,li,dd{max-width:46rem}
.quiet,figcaption{color:var(--quiet);font-size:.875rem}
nav a{margin-right:1rem}
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
dl{display:grid;gap:.1rem .8rem}
dt{font-weight:600}
dd{margin:0 0 .5rem}
.figures{display:grid;gap:1.2rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr))}
figure{margin:0;break-inside:avoid}
figcaption{color:var(--text);font-weight:600}
svg{display:block;width:100%;height:auto;max-width:27rem}
svg text{font-family:inherit!important}
@media(min-width:50rem){dl{grid-template-columns:12rem 1fr}}
@media print{:root{color-scheme:light;--back:#fff;--text:#000;--quiet:#444;--line:#bbb;--strong:#eee;--accent:#0b62c4;
--other:#d1680c}body{font-size:10pt;max-width:none;padding:0}nav{display:none}.scroll{overflow:visible;margin:0;
padding:0}table{font-size:7.5pt;width:100%}th,td{padding:.1rem .3rem;white-space:normal}thead th{min-width:0}
tr,figure,section:has(table){break-inside:avoid}h2{break-after:avoid}.figures{grid-template-columns:repeat(3,1fr);gap:.6rem}
tbody th{position:static}}
"""


def page(
    title: str,
    facts: Sequence[str],
    notes: Mapping[str, str],
    tables: Sequence[tuple[Table, str]],
    figures: Mapping[str, tuple[str, Sequence[Figure]]],
) -> str:
    """Writes the page.

    Args:
        title: its title.
        facts: what was run, in sentences.
        notes: definitions by what they define.
        tables: the tables, each with a sentence that stands under it.
        figures: by a section's title, a sentence that stands over its figures, and these.

    Returns:
        The HTML.
    """
    return "\n".join(_lines(title, facts, notes, tables, figures)) + "\n"


def _lines(
    title: str,
    facts: Sequence[str],
    notes: Mapping[str, str],
    tables: Sequence[tuple[Table, str]],
    figures: Mapping[str, tuple[str, Sequence[Figure]]],
) -> Iterator[str]:
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8"/>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
    yield f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
    yield f"<header><h1>{escape(title)}</h1>"
    for fact in facts:
        yield f'<p class="quiet">{escape(fact)}</p>'
    links = {**{table.name: table.title.split(",")[0] for table, _ in tables[:1]}, "definitions": "Definitions"}
    links |= {_anchor(section): section for section in figures}
    anchors = (f'<a href="#{anchor}">{escape(text)}</a>' for anchor, text in links.items())
    yield f"<nav>{' '.join(anchors)}</nav></header>"
    yield "<main>"
    for table, note in tables:
        yield from _table(table)
        yield f'<p class="quiet">{escape(note)}</p>' if note else ""
    yield '<section id="definitions"><h2>Definitions</h2><dl>'
    for name, text in notes.items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>"
    yield "</dl></section>"
    for section, (sentence, drawn) in figures.items():
        yield f'<section id="{_anchor(section)}"><h2>{escape(section)}</h2><p class="quiet">{escape(sentence)}</p>'
        yield '<div class="figures">'
        for figure in drawn:
            yield f"<figure><figcaption>{escape(figure.title)}</figcaption>{to_svg(figure)}</figure>"
        yield "</div></section>"
    yield "</main></body></html>"


def _table(table: Table) -> Iterator[str]:
    yield f'<section id="{table.name}"><h2>{escape(table.title)}</h2>'
    yield '<div class="scroll" tabindex="0" role="region" aria-label="table"><table><thead><tr>'
    yield "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    yield "</tr></thead><tbody>"
    for number, (first, *rest) in enumerate(table.rows):
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        own = ' class="own"' if number in table.strong else ""
        yield f'<tr{own}><th scope="row">{escape(first)}</th>{cells}</tr>'
    yield "</tbody></table></div></section>"


def _anchor(section: str) -> str:
    return section.lower().replace(" ", "-")
