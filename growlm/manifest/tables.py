"""The manifest in short form, for trees and tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from growlm.manifest.card import BARE_BASE, score_rows, score_titles
from growlm.manifest.manifest import BaseRecord, Manifest, ModuleRecord
from growlm.manifest.path import BASE, format_path
from growlm.terminal import counted

SHORT_DIGEST = 12
_COST_UNITS = ("steps", "tokens", "seconds")


def lineage(manifest: Manifest) -> dict[str, list[ModuleRecord]]:
    """Return a stack as a tree: for the base and each module, the modules that were grown directly on it.

    Args:
        manifest: the stack's manifest.

    Returns:
        By name (``"base"`` first, then in order of growth), the modules whose newest parent it is.
    """
    children: dict[str, list[ModuleRecord]] = {BASE: []}
    for record in manifest.modules:
        children[record.name] = []
        children[record.parents[-1] if record.parents else BASE].append(record)
    return children


def base_facts(base: BaseRecord) -> str:
    """Describe a base: architecture, size, digest."""
    return (
        f"{base.model_type}, {short_number(base.parameters)} parameters in {counted(len(base.tensors), 'tensor')}, "
        f"sha256 {base.digest[:SHORT_DIGEST]}…"
    )


def module_facts(record: ModuleRecord, base: BaseRecord) -> list[tuple[str, str]]:
    """Describe a module.

    Args:
        record: the module.
        base: the base, for the module's size beside it.

    Returns:
        Pairs of a property and its value, in a fixed order.
    """
    share = 100 * record.parameters / max(base.parameters, 1)
    kinds = " + ".join(f"{kind} ({_options(options)})" if options else kind for kind, options in record.kinds.items())
    cost = ", ".join(f"{record.cost[unit]:,} {unit}" for unit in _COST_UNITS if unit in record.cost)
    facts = [
        ("kind", kinds),
        ("size", f"{short_number(record.parameters)} parameters, {share:.1f} % of the base"),
        ("path", format_path(record.path)),
        ("skill", str(record.skill.get("name", "?")) if record.skill else ""),
        ("method", f"{record.method.get('name', '?')}, seed {record.seed}"),
        ("cost", cost),
        ("sha256", f"{record.digest[:SHORT_DIGEST]}…"),
    ]
    return [(name, fact) for name, fact in facts if fact]


@dataclass(frozen=True)
class ScoreTable:
    """Scores as a table.

    Args:
        titles: the columns' titles.
        rows: the cells; none if nothing was measured.
    """

    titles: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def base_scores(manifest: Manifest) -> ScoreTable:
    """Tabulate the newest scores of what belongs to no module: the base's own skill.

    Args:
        manifest: the stack's manifest.

    Returns:
        A row for each score, as it was measured when the newest module was finished.
    """
    if not manifest.modules:
        return ScoreTable()
    newest, names = manifest.modules[-1], manifest.parents()
    rows = tuple((f"{skill}: {label}", *values) for skill, label, *values in score_rows(newest) if skill not in names)
    return ScoreTable(("score now", *score_titles(newest)), rows) if rows else ScoreTable()


def skill_scores(manifest: Manifest, record: ModuleRecord) -> ScoreTable:
    """Tabulate the scores of a module's skill when the module was finished, and those measured last.

    Args:
        manifest: the stack's manifest.
        record: the module.

    Returns:
        A row for each score; "now" is when the newest module was finished.
    """
    then = [(label, values) for skill, label, *values in score_rows(record) if skill == record.name]
    titles, newest = score_titles(record), manifest.modules[-1]
    if not then:
        return ScoreTable()
    if newest.name == record.name or record.name not in newest.scores:
        return ScoreTable(("score", *titles), tuple((f"{record.name}: {label}", *values) for label, values in then))
    later = [index for index, title in enumerate(score_titles(newest)) if title != BARE_BASE]
    now = {label: values for skill, label, *values in score_rows(newest) if skill == record.name}
    rows = tuple(
        (f"{record.name}: {label}", *values, *(now[label][index] if label in now else "" for index in later))
        for label, values in then
    )
    now_titles = (f"now: {score_titles(newest)[index]}" for index in later)
    return ScoreTable(("score", *titles, *now_titles), rows)


def short_number(value: float) -> str:
    """Format a count with three significant digits: ``1.23M``."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items() if value is not None)
