"""Who may import whom, and how large a file or function may be, read from the syntax trees; offenders are listed."""

import ast
from functools import cache
from itertools import pairwise
from pathlib import Path

from growlm import registry
from growlm.cli.main import command_names, own_name

PACKAGE = Path(__file__).parents[2] / "growlm"

# from the ground up; a file may import from its own row and from those above it in this list
LAYERS = (
    ("errors", "signals", "summaries", "terminal"),
    ("progress",),
    ("registry", "files", "sealed", "recipes"),
    ("base", "data"),
    ("tinyworld",),
    ("skills",),
    ("modules",),
    ("manifest",),
    ("auto", "stack"),
    ("merging", "routing", "metrics"),
    ("methods",),
    ("train", "pretrain"),
    ("show", "export", "imports", "serve"),
    ("bench", "harness"),
    ("cli", "commands"),
    ("__main__",),
)
# folders of members, with the members' names: the other files of such a folder are shared by them
MEMBERS = {
    "modules": registry.module_kinds,
    "methods": registry.methods,
    "methods/importance": registry.importance_measures,
    "routing": registry.routers,
    "metrics/answers": registry.answer_metrics,
    "skills": registry.skills,
    "export": registry.exporters,
    "commands": [own_name(name) for name in command_names()],
}

MAX_FILE, MAX_FUNCTION, MIN_FILE = 400, 60, 40
# path or path:function -> why it is larger or smaller
EXEMPT = {
    "commands/bench.py:bench": "the options of a benchmark, each an argument with its line of documentation",
    "train/schedule.py": "shared by phases and pretraining, which share nothing else of train",
}


@cache
def trees() -> dict[str, ast.Module]:
    return {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def unit(name: str) -> str:
    """The folder or top-level file that a path inside growlm belongs to."""
    return name.partition("/")[0].removesuffix(".py")


def module_file(dotted: str) -> str | None:
    """The file that a dotted name means, or None for a name that is not a file of growlm."""
    if not dotted.startswith("growlm."):
        return None
    path = dotted.removeprefix("growlm.").replace(".", "/")
    return next((name for name in (f"{path}.py", f"{path}/__init__.py") if name in trees()), None)


def imported(tree: ast.AST) -> list[str]:
    """The dotted names that are imported anywhere in a file: inside functions and for typing, too."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return found


@cache
def graph() -> dict[str, set[str]]:
    """For each file of growlm the files that it imports; the public page points everywhere, lazily, and is left out."""
    return {
        name: {target for dotted in imported(tree) if (target := module_file(dotted))} - {name}
        for name, tree in trees().items()
        if name != "__init__.py"
    }


LEVEL = {name: level for level, row in enumerate(LAYERS) for name in row}


def offending(wrong) -> list[str]:
    """The imports for which ``wrong(importer, imported)`` holds."""
    return [
        f"{name} imports {target}" for name, found in graph().items() for target in sorted(found) if wrong(name, target)
    ]


def test_every_folder_has_its_layer():
    assert {unit(name) for name in graph()} == set(LEVEL)


def test_imports_point_down():
    assert offending(lambda name, target: LEVEL[unit(target)] > LEVEL[unit(name)]) == []
    relative = [f"{name}: {dotted}" for name, tree in trees().items() for dotted in imported(tree) if dotted[0] == "."]
    assert relative == []


def test_members_do_not_import_each_other():
    def sibling(name: str, target: str) -> bool:
        members = MEMBERS.get(Path(target).parent.as_posix(), ())
        return Path(name).parent == Path(target).parent and Path(target).stem in members

    assert offending(sibling) == []


def test_no_private_module_is_imported_from_another_package():
    def private(name: str, target: str) -> bool:
        inner = Path(target).name.startswith("_") and Path(target).name != "__init__.py"
        return inner and Path(name).parent != Path(target).parent

    assert offending(private) == []


def cycles(edges: dict[str, set[str]]) -> list[str]:
    found: list[str] = []
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            found.append(" -> ".join((*trail[trail.index(name) :], name)))
        elif name not in done:
            for target in sorted(edges.get(name, ())):
                visit(target, (*trail, name))
            done.add(name)

    for name in edges:
        visit(name, ())
    return found


def test_no_cycles():
    assert cycles(graph()) == []
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a -> b -> c -> a"]


@cache
def beyond_limits() -> list[str]:
    """What is too large, and files too small for a concept of their own that are no members of a registry."""
    found = []
    for name, tree in trees().items():
        lines, path = len((PACKAGE / name).read_text().splitlines()), Path(name)
        member = path.stem in MEMBERS.get(path.parent.as_posix(), ()) or path.stem.startswith("__")
        if lines > MAX_FILE or (lines < MIN_FILE and not member):
            found.append(name)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                found += [f"{name}:{node.name}"] if node.end_lineno - node.lineno + 1 > MAX_FUNCTION else []
    return found


def test_sizes():
    assert [entry for entry in beyond_limits() if entry not in EXEMPT] == []


def test_the_exemptions_are_few_and_needed():
    assert len(EXEMPT) <= 3
    assert all(EXEMPT.values())
    assert [entry for entry in EXEMPT if entry not in beyond_limits()] == [], "within the limits: take it off the list"


def test_the_checks_see_what_they_look_for():
    """Guard the reading of imports itself: known edges are found."""
    assert "errors.py" in graph()["files.py"]
    assert "cli/parser.py" in graph()["cli/main.py"], "an import inside a function counts"
    assert all(lower != upper for lower, upper in pairwise(LAYERS))
