"""Who may import whom, and how large a file or function may be, read from the syntax trees."""

import ast
from functools import cache
from itertools import pairwise
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "growlm"

# from the ground up; a file may import from its own row and from those above it in this list
LAYERS = (
    ("errors", "terminal"),
    ("progress",),
    ("registry", "files", "sealed", "recipes"),
    ("base", "data"),
    ("tinyworld",),
    ("skills",),
    ("modules",),
    ("manifest",),
    ("stack",),
    ("merging", "routing", "metrics"),
    ("methods",),
    ("train", "pretrain"),
    ("show", "export", "serve"),
    ("bench",),
    ("cli", "commands"),
    ("__main__",),
)
# folders of members: they share the base files listed here, and what begins with "_"
MEMBERS = ("modules", "methods", "routing", "skills", "export", "commands")
SHARED = (
    "modules/context.py",
    "modules/kind.py",
    "modules/site.py",
    "methods/method.py",
    "methods/importance.py",
    "routing/router.py",
    "routing/gates.py",
    "routing/prompts.py",
    "routing/update.py",
    "skills/skill.py",
    "skills/metric.py",
    "skills/procedural.py",
    "export/exporter.py",
)

# folders whose files may import each other for annotations alone
TYPES_APART = ("manifest",)

MAX_FILE, MAX_FUNCTION = 400, 60
# path or path:function -> why it is larger
LARGER = {
    "commands/bench.py:bench": "the options of a benchmark, each an argument with its line of documentation",
}


@cache
def files() -> dict[str, Path]:
    return {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}


def unit(name: str) -> str:
    """The folder or top-level file that a dotted name or a path inside growlm belongs to."""
    return name.replace("/", ".").removeprefix("growlm.").split(".")[0]


def imports(tree: ast.AST) -> list[str]:
    """The growlm modules that are imported anywhere in a file, inside functions too."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            module = node.module or ""
            found += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return [name for name in found if module_file(name)]


def module_file(dotted: str) -> str | None:
    """The file that a dotted name stands for, or None for a name that is no file of growlm."""
    if not dotted.startswith("growlm."):
        return None
    path = dotted.removeprefix("growlm.").replace(".", "/")
    return next((name for name in (f"{path}.py", f"{path}/__init__.py") if name in files()), None)


LEVEL = {name: level for level, row in enumerate(LAYERS) for name in row}
SOURCES = [name for name in files() if name != "__init__.py"]  # the public page points everywhere, lazily


class WithoutTypes(ast.NodeTransformer):
    """Leaves out what is imported for annotations alone: it is no import when the program runs."""

    def visit_If(self, node: ast.If) -> ast.AST | None:  # the name that ast calls
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def tree(name: str, *, types: bool) -> ast.AST:
    whole = ast.parse(files()[name].read_text())
    return whole if types else WithoutTypes().visit(whole)


@cache
def graph(*, types: bool = True) -> dict[str, set[str]]:
    return {
        name: {target for dotted in imports(tree(name, types=types)) if (target := module_file(dotted))} - {name}
        for name in SOURCES
    }


def test_every_folder_has_its_layer():
    assert {unit(name.removesuffix(".py")) for name in SOURCES} <= set(LEVEL)


def test_imports_point_down():
    def level(name: str) -> int:
        return LEVEL[unit(name.removesuffix(".py"))]

    upward = [f"{name} imports {target}" for name, targets in graph().items() for target in targets]
    upward = [edge for edge in upward if level(edge.split()[2]) > level(edge.split()[0])]
    assert upward == []


def test_members_do_not_import_each_other():
    siblings = [
        f"{name} imports {target}"
        for name, targets in graph().items()
        for target in targets
        if Path(name).parent == Path(target).parent
        and Path(name).parent.as_posix() in MEMBERS
        and not Path(target).name.startswith("_")
        and target not in SHARED
    ]
    assert siblings == []


def test_no_cycles():
    """Imports for annotations count too, but for the files that name each other's types."""
    edges = {name: graph(types=unit(name.removesuffix(".py")) not in TYPES_APART)[name] for name in SOURCES}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name in done or name not in edges:
            return
        for target in sorted(edges[name]):
            visit(target, (*trail, name))
        done.add(name)

    for name in edges:
        visit(name, ())


def too_large(name: str) -> list[str]:
    text = files()[name].read_text()
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    long = [f"{name}:{f.name}" for f in functions if (f.end_lineno or 0) - f.lineno + 1 > MAX_FUNCTION]
    return [*([name] if len(text.splitlines()) > MAX_FILE else []), *long]


def test_sizes():
    assert [found for name in files() for found in too_large(name) if found not in LARGER] == []


def test_the_allow_list_is_short_and_alive():
    assert len(LARGER) <= 5
    assert all(LARGER.values())
    stale = [entry for entry in LARGER if entry not in too_large(entry.partition(":")[0])]
    assert stale == [], "no longer too large: take it off the list"


def test_the_checks_see_what_they_look_for():
    """Guards the reading of imports itself: known edges are found."""
    edges = graph()
    assert "errors.py" in edges["files.py"]
    assert "cli/parser.py" in edges["cli/main.py"], "an import inside a function counts"
    assert all(lower != upper for lower, upper in pairwise(LAYERS))
