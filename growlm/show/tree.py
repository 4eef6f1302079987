"""A stack as a tree for the terminal."""

from rich.console import Group
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from growlm.errors import one_line
from growlm.manifest.manifest import BaseRecord, Manifest, ModuleRecord
from growlm.manifest.path import BASE
from growlm.manifest.tables import ScoreTable, base_facts, base_scores, lineage, module_facts, skill_scores


def stack_tree(manifest: Manifest) -> Tree:
    """Draw a stack: the base as root, each module under the one that it was grown on.

    Args:
        manifest: the stack's manifest.

    Returns:
        The tree, to be printed with rich.
    """
    children = lineage(manifest)
    base = manifest.base
    title = Text.assemble((f"base {one_line(base.source)}", "bold"), "  ", (one_line(base_facts(base)), "dim"))
    scores = base_scores(manifest)
    root = Tree(Group(title, _scores(scores)) if scores.rows else title)
    _grow(root, children[BASE], manifest, children)
    return root


def _grow(tree: Tree, records: list[ModuleRecord], manifest: Manifest, children: dict[str, list[ModuleRecord]]) -> None:
    for record in records:
        name, facts = Text(record.name, "bold green"), _facts(record, manifest.base)
        branch = tree.add(Group(name, facts, _scores(skill_scores(manifest, record))))
        _grow(branch, children[record.name], manifest, children)


def _facts(record: ModuleRecord, base: BaseRecord) -> Table:
    grid = Table.grid(padding=(0, 2))
    for name, fact in module_facts(record, base):
        grid.add_row(Text(name, "dim"), Text(one_line(fact), overflow="fold"))
    return grid


def _scores(scores: ScoreTable) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in scores.titles:
        table.add_column(title, overflow="fold")
    for row in scores.rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    return table
