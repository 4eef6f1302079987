"""First lines of docstrings, read from the source: nothing is imported to be listed."""

import ast
from pathlib import Path


def function_summary(path: Path, name: str) -> str:
    """Read the first docstring line of a function.

    Args:
        path: the source file.
        name: the function, at the file's top level.

    Returns:
        The line, or ``""`` if the file has no such function or it no docstring.
    """
    functions = [node for node in _tree(path).body if isinstance(node, ast.FunctionDef) and node.name == name]
    return _first_line(functions[0]) if functions else ""


def class_summary(path: Path, parent: str) -> str:
    """Read the first docstring line of the class that a registry's file is about.

    Args:
        path: the source file.
        parent: name of the class that it extends; where several public classes could be meant, one that names
            this parent wins, then the last.

    Returns:
        The line, or ``""`` if there is none.
    """
    public = [node for node in _tree(path).body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    candidates = [node for node in public if parent in _base_names(node)] or public
    return _first_line(candidates[-1]) if candidates else ""


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _first_line(node: ast.FunctionDef | ast.ClassDef) -> str:
    # not cleaned: that would import inspect, which takes longer than all else here
    return (ast.get_docstring(node, clean=False) or "").strip().split("\n", 1)[0]


def _base_names(node: ast.ClassDef) -> set[str]:
    bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
    return {base.id if isinstance(base, ast.Name) else ast.unparse(base).rpartition(".")[2] for base in bases}
