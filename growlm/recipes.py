"""Recipes: YAML files by group and name, your own folder before those that come with growlm."""

from pathlib import Path

from growlm.errors import GrowlmError, unknown_name

_GROUPS = ("base", "skills", "streams", "bench")


def recipe_path(group: str, name: str) -> Path:
    """Finds a recipe.

    Args:
        group: its folder: ``"base"``, ``"skills"``, ``"streams"`` or ``"bench"``.
        name: the file's name without ``.yaml``.

    Returns:
        ``./recipes/<group>/<name>.yaml`` if there is one, else the recipe that comes with growlm.

    Raises:
        GrowlmError: if neither has it.
    """
    found = _recipes(group)
    if name not in found:
        raise unknown_name(f"recipe in {group!r}", name, found)
    return found[name]


def recipe_names(group: str) -> list[str]:
    """Lists the names of a group's recipes, sorted.

    Raises:
        GrowlmError: for an unknown group.
    """
    return sorted(_recipes(group))


def recipe_groups() -> tuple[str, ...]:
    """Lists the groups."""
    return _GROUPS


def recipe_summary(path: Path) -> str:
    """Gives the first comment line of a recipe, which says what it is for."""
    with path.open(encoding="utf-8") as lines:
        first = next(lines, "")
    return first.lstrip("# ").rstrip() if first.startswith("#") else ""


def _recipes(group: str) -> dict[str, Path]:
    if group not in _GROUPS:
        raise unknown_name("recipe group", group, _GROUPS)
    own, shipped = Path("recipes", group), _shipped() / group
    return {path.stem: path for folder in (shipped, own) for path in folder.glob("*.yaml")}


def _shipped() -> Path:
    package = Path(__file__).resolve().parent
    # an installed wheel carries them inside; a checkout has them beside the package
    for folder in (package / "recipes_data", package.parent / "recipes"):
        if folder.is_dir():
            return folder
    raise GrowlmError(f"{package} has lost its recipes: install growlm again")
