"""Recipes: the YAML files that come with growlm, by group and name, and the one strict reader of YAML."""

import re
from collections.abc import Hashable
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from growlm.errors import GrowlmError, one_line, unknown_name

_GROUPS = ("base", "skills", "streams", "bench")
_MAX_BYTES, _MAX_DEPTH, _MAX_VALUES = 1_000_000, 32, 100_000


def recipe_path(group: str, name: str) -> Path:
    """Find a recipe that comes with growlm.

    A recipe of the current folder is used only when its path is given, so that a name means the same everywhere.

    Args:
        group: its folder: ``"base"``, ``"skills"``, ``"streams"`` or ``"bench"``.
        name: the file's name without ``.yaml``.

    Returns:
        The file.

    Raises:
        GrowlmError: for an unknown name; it says so where the current folder has a recipe of that name.
    """
    found = _recipes(group)
    if name in found:
        return found[name]
    own = Path("recipes", group, f"{name}.yaml")
    if Path(name).name == name and own.is_file():
        raise GrowlmError(f"recipe {name!r} does not come with growlm: to use the file in this folder, give {own}")
    raise unknown_name(f"recipe in {group!r}", name, found)


def recipe_file(group: str, name_or_file: str) -> Path:
    """Resolve what a user gives: a path that ends in ``.yaml`` or ``.yml``, or the name of a shipped recipe.

    Raises:
        GrowlmError: for an unknown name.
    """
    file = Path(name_or_file)
    return file if file.suffix in (".yaml", ".yml") else recipe_path(group, name_or_file)


def recipe_names(group: str) -> list[str]:
    """List the names of a group's recipes, sorted.

    Raises:
        GrowlmError: for an unknown group.
    """
    return sorted(_recipes(group))


def recipe_groups() -> tuple[str, ...]:
    """List the groups."""
    return _GROUPS


def recipe_summary(path: Path) -> str:
    """Return the first sentence of the comment that a recipe begins with, which says what it is for.

    Lines of the comment that are indented further are commands and end it.
    """
    with path.open(encoding="utf-8") as lines:
        words = list(takewhile(re.compile(r"# ?\S").match, lines))
    comment = " ".join(line.lstrip("#").strip() for line in words)
    return re.split(r"(?<=\.) (?=[A-Z\d])", comment)[0].rstrip(":")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds keys with values.

    Args:
        path: a regular file of at most 1 MB.

    Returns:
        Its content.

    Raises:
        GrowlmError: if the file is missing or too large, or as :func:`parse_yaml` says.
    """
    if not path.exists():
        raise GrowlmError(f"{path} is missing: give the path of a YAML file")
    if not path.is_file():
        raise GrowlmError(f"{path} is not a regular file: give the path of a YAML file")
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise GrowlmError(f"{path} has {size:,} bytes, a YAML file may have {_MAX_BYTES:,}: shorten it")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise GrowlmError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None
    except OSError as error:
        raise GrowlmError(f"{path} cannot be read ({error.strerror}): give the path of a YAML file") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """Parse YAML that holds keys with values; plain data only.

    Args:
        text: the YAML.
        where: what it was read from, for messages.

    Returns:
        Its content; nothing for an empty text.

    Raises:
        GrowlmError: if it is not YAML, holds something else, has a key twice or a null character, nests deeper than 32
            levels, or holds more than 100,000 values once its anchors are written out.
    """
    try:
        loader = _StrictLoader(text)
        loader.name = where
        node = loader.get_single_node()
        if node is not None:
            _refuse_large(node, where)
        content = None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise GrowlmError(f"{where} is not YAML ({one_line(str(error))}): correct it") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise GrowlmError(f"{where} holds {type(content).__name__} instead of keys with values: correct it")
    return content


class _StrictLoader(yaml.SafeLoader):
    """Refuse deep nesting, null characters, and a key that occurs twice in one mapping: 1 and "1" are the same."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise GrowlmError(f"{self.name}, line {self.line + 1}: nested deeper than {_MAX_DEPTH} levels: flatten it")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        if "\0" in node.value:  # the system takes no path with one
            place = f"{self.name}, line {node.start_mark.line + 1}"
            raise GrowlmError(f"{place}: a null character, which no option can hold; remove it")
        return super().construct_scalar(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(self.construct_object(key_node, deep=True))
            if key in seen:
                place = f"{self.name}, line {key_node.start_mark.line + 1}"
                raise GrowlmError(f"{place}: {key!r} is given twice; remove one")
            seen.add(key)
        return super().construct_mapping(node, deep)


def _refuse_large(root: yaml.Node, where: str) -> None:
    """Refuse anchors that contain themselves, or that multiply: nine lines of nine references are 9**9 values."""
    sizes: dict[int, int] = {}  # 0: being counted

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node))
        if known == 0:
            raise GrowlmError(f"{where}, line {node.start_mark.line + 1}: an anchor contains itself: write it out")
        if known is None:
            sizes[id(node)] = 0
            inner = node.value if isinstance(node, yaml.CollectionNode) else []
            children = [child for pair in inner for child in (pair if isinstance(pair, tuple) else (pair,))]
            sizes[id(node)] = known = 1 + sum(map(size, children))
        return known

    if size(root) > _MAX_VALUES:
        raise GrowlmError(f"{where} holds more than {_MAX_VALUES:,} values with its anchors written out: shorten it")


def _recipes(group: str) -> dict[str, Path]:
    if group not in _GROUPS:
        raise unknown_name("recipe group", group, _GROUPS)
    return {path.stem: path for path in (_shipped() / group).glob("*.yaml")}


def _shipped() -> Path:
    package = Path(__file__).resolve().parent
    # an installed wheel carries them inside; a checkout has them beside the package
    for folder in (package / "recipes_data", package.parent / "recipes"):
        if folder.is_dir():
            return folder
    raise GrowlmError(f"{package} has lost its recipes: install growlm again")
