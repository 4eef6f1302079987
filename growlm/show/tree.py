"""A stack as a tree for the terminal."""

from rich.console import Group
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from growlm.errors import one_line
from growlm.stack.card import score_titles
from growlm.stack.facts import base_facts, lineage, module_facts, score_facts
from growlm.stack.manifest import BaseRecord, Manifest, ModuleRecord
from growlm.stack.path import BASE


def stack_tree(manifest: Manifest) -> Tree:
    """Draws a stack: the base as root, each module under the one that it was grown on.

    Args:
        manifest: the stack's manifest.

    Returns:
        The tree, to be printed with rich.
    """
    children = lineage(manifest)
    base = manifest.base
    root = Tree(Text.assemble((f"base {one_line(base.source)}", "bold"), "  ", (one_line(base_facts(base)), "dim")))
    _grow(root, children[BASE], base, children)
    return root


def _grow(tree: Tree, records: list[ModuleRecord], base: BaseRecord, children: dict[str, list[ModuleRecord]]) -> None:
    for record in records:
        branch = tree.add(Group(Text(record.name, "bold green"), _facts(record, base), _scores(record)))
        _grow(branch, children[record.name], base, children)


def _facts(record: ModuleRecord, base: BaseRecord) -> Table:
    grid = Table.grid(padding=(0, 2))
    for name, fact in module_facts(record, base):
        grid.add_row(Text(name, "dim"), Text(one_line(fact), overflow="fold"))
    return grid


def _scores(record: ModuleRecord) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    rows = score_facts(record)
    for title in ("score", *score_titles(record)) if rows else ():
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    return table
