"""YAML in which a key stands once: plain YAML readers keep the last of two silently."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from growlm.errors import GrowlmError, one_line


def read_strict_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML file that holds keys with values.

    Args:
        path: the file.

    Returns:
        Its content.

    Raises:
        GrowlmError: if the file is missing, is no YAML, holds something else, or has a key twice.
    """
    try:
        with path.open("rb") as stream:
            content = yaml.load(stream, _StrictLoader)
    except FileNotFoundError:
        raise GrowlmError(f"{path} is missing: give the path of a YAML file") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise GrowlmError(f"{path} is no YAML ({one_line(str(error))}): mend it") from None
    except OSError as error:
        raise GrowlmError(f"{path} cannot be read ({error.strerror}): give the path of a YAML file") from None
    if not isinstance(content, dict):
        raise GrowlmError(f"{path} holds {type(content).__name__} instead of keys with values: mend it")
    return content


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, however it is written: 1 and "1" are the same."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(self.construct_object(key_node, deep=True))
            if key in seen:
                raise GrowlmError(f"{_place(key_node)}: {key!r} stands twice; take one out")
            seen.add(key)
        return super().construct_mapping(node, deep)


def _place(node: yaml.Node) -> str:
    return f"{node.start_mark.name}, line {node.start_mark.line + 1}"
