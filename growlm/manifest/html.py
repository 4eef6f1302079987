"""A stack as a notebook shows it: one piece of HTML that needs nothing else."""

from html import escape

from growlm.errors import one_line
from growlm.manifest.manifest import Manifest, ModuleRecord
from growlm.manifest.path import BASE
from growlm.manifest.tables import ScoreTable, base_facts, base_scores, lineage, module_facts, skill_scores

_BOX = "border-left:3px solid #2a9d8f;margin:0.4em 0 0 0.4em;padding:0.1em 0 0.1em 0.8em"
_MUTED = "opacity:0.7"


def stack_html(manifest: Manifest) -> str:
    """Render a stack as nested boxes, each module inside the one that it was grown on.

    Colours follow the page, so that it reads on light and dark ones.

    Args:
        manifest: the stack's manifest; whatever it says is shown as text, never as HTML.

    Returns:
        The HTML, without scripts or references.
    """
    children = lineage(manifest)
    boxes = "".join(_module(record, manifest, children) for record in children[BASE])
    head = f"<b>base {_text(manifest.base.source)}</b> <span style='{_MUTED}'>{_text(base_facts(manifest.base))}</span>"
    head += _scores(base_scores(manifest))
    return f"<div style='font-family:sans-serif;line-height:1.5'>{head}{boxes}</div>"


def _module(record: ModuleRecord, manifest: Manifest, children: dict[str, list[ModuleRecord]]) -> str:
    facts = " · ".join(
        f"<span style='{_MUTED}'>{_text(name)}</span> {_text(fact)}"
        for name, fact in module_facts(record, manifest.base)
    )
    inner = "".join(_module(child, manifest, children) for child in children[record.name])
    scores = _scores(skill_scores(manifest, record))
    return f"<div style='{_BOX}'><b>{_text(record.name)}</b><br>{facts}{scores}{inner}</div>"


def _scores(table: ScoreTable) -> str:
    if not table.rows:
        return ""
    cells = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    head = "".join(f"<th>{title}</th>" for title in table.titles)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table>"


def _text(value: str) -> str:
    return escape(one_line(value))
