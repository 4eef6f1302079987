"""``growlm ls``: what there is to use."""

import json as json_format
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from growlm.base.load import shipped_bases
from growlm.errors import GrowlmError
from growlm.files import read_json
from growlm.recipes import recipe_groups, recipe_names, recipe_path, recipe_summary
from growlm.registry import Registry, methods, module_kinds, routers, skills

Sort = Literal["modules", "methods", "routers", "skills", "bases", "recipes", "stacks"]
POSITIONAL = ("sort",)


def ls(sort: Sort | None = None, json: bool = False) -> None:
    """List module kinds, methods, routers, skills, bases, recipes and stacks.

    Args:
        sort: only this sort.
        json: print JSON instead of a table.
    """
    entries = {name: listing() for name, listing in _LISTINGS.items() if sort in (None, name)}
    if json:
        print(json_format.dumps(entries, indent=2, ensure_ascii=False))
    else:
        _print_table(entries)


def _members(registry: Registry[Any]) -> Callable[[], dict[str, str]]:
    return lambda: {name: registry.summary(name).replace("``", "`") for name in registry}


def _recipes() -> dict[str, str]:
    return {
        f"{group}/{name}": recipe_summary(recipe_path(group, name))
        for group in recipe_groups()
        for name in recipe_names(group)
    }


def _bases() -> dict[str, str]:
    found: dict[str, str] = {}
    for name, folder in shipped_bases().items():
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        found[name] = f"{_header(folder / 'config.json').get('model_type', 'damaged')}, {size / 1e6:.1f} MB, {folder}"
    return found


def _stacks() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(Path("checkpoints").glob("*/stack.json")):
        header = _header(path)
        try:
            names = [header["base"]["source"], *(module["name"] for module in header["modules"])]
            found[path.parent.name] = f"{' + '.join(names)}, {path.parent}"
        except (KeyError, TypeError):
            found[path.parent.name] = f"damaged, {path.parent}"
    return found


def _header(path: Path) -> dict[str, Any]:
    """Read a JSON file of a folder; that of a damaged folder counts as empty."""
    try:
        content = read_json(path)
    except GrowlmError:
        content = None
    return content if isinstance(content, dict) else {}


def _print_table(entries: dict[str, dict[str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from growlm.terminal import safe_console

    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in ("sort", "name", "what it is"):
        table.add_column(header, overflow="fold")
    for sort, members in entries.items():
        for name, summary in (members or {"none yet": ""}).items():
            table.add_row(Text(sort, style="dim"), Text(name, style="cyan"), Text(summary))
    safe_console().print(table)


_LISTINGS: dict[str, Callable[[], dict[str, str]]] = {
    "modules": _members(module_kinds),
    "methods": _members(methods),
    "routers": _members(routers),
    "skills": _members(skills),
    "bases": _bases,
    "recipes": _recipes,
    "stacks": _stacks,
}
