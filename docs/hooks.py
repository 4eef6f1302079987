"""Write the reference pages while mkdocs runs: every registered member and command appears without being listed."""

import contextlib
import inspect
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from whole_words import keep_words_whole

import growlm
from growlm import registry
from growlm.bench.report.markdown import BEGIN
from growlm.cli.main import command_names, main
from growlm.recipes import recipe_groups, recipe_names, recipe_path, recipe_summary

REGISTRIES = {
    "modules": ("Module kinds", registry.module_kinds, "growlm.modules.kind.ModuleKind"),
    "methods": ("Methods", registry.methods, "growlm.methods.method.Method"),
    "importance": (
        "Importance measures",
        registry.importance_measures,
        "growlm.methods.importance.measure.ImportanceMeasure",
    ),
    "routing": ("Routers", registry.routers, "growlm.routing.router.Router"),
    "skills": ("Skills", registry.skills, "growlm.skills.skill.Skill"),
    "export": ("Export formats", registry.exporters, "growlm.export.exporter.Exporter"),
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every page of ``docs/results`` into the navigation: in the order of their index, then the rest by name."""
    folder = Path(config.docs_dir) / "results"
    listed = re.findall(r"\]\(([\w-]+)\.md\)", (folder / "index.md").read_text(encoding="utf-8"))
    names = list(dict.fromkeys(["index", *listed, *sorted(path.stem for path in folder.glob("*.md"))]))
    config.nav = [
        {"Results": [f"results/{name}.md" for name in names]} if "Results" in item else item for item in config.nav
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site."""
    pages = {"python": python_page(), "commands": commands_page(), "recipes": recipes_page()}
    pages |= {name: members_page(*entry) for name, entry in REGISTRIES.items()}
    for name, lines in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content="\n".join(lines) + "\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> None:
    """Give the wide table of a report the room of the table of contents."""
    if BEGIN in markdown:
        page.meta["hide"] = ["toc"]


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Keep options, names with hyphens and percentages in one line."""
    return keep_words_whole(html)


def python_page() -> Iterator[str]:
    """Yield the page of the public names, ``growlm.__all__``."""
    yield "# Python\n\nEverything here comes with `import growlm`; each name imports what it needs when it is used.\n"
    for name in growlm.__all__:
        value = getattr(growlm, name)
        home = getattr(value, "__module__", None)
        if isinstance(value, registry.Registry):
            yield f"## {name}\n\nThe registry of each {value.what}: {', '.join(f'`{member}`' for member in value)}.\n"
        else:
            yield f"::: {home}.{name}\n    options:\n      inherited_members: true\n"


def members_page(title: str, members: registry.Registry[object], parent: str) -> Iterator[str]:
    """Yield the page of a registry: a table, the class that members extend, and every member."""
    yield f"# {title}\n\n| name | what it is |\n|---|---|"
    for name in members:
        summary = members.summary(name).replace("|", r"\|")
        yield f"| `{name}` | {summary} |"
    yield f"\n::: {parent}\n"
    for shared in dict.fromkeys(cls for name in members for cls in classes_of_options(members.get(name))):
        yield f"::: {shared.__module__}.{shared.__name__}\n    options:\n      members: false\n"
    for name in members:
        member = members.get(name)
        module = sys.modules[member.__module__]
        if f"\nclass {member.__name__}" not in inspect.getsource(module):  # made from a table: there is nothing to read
            continue
        yield f"::: {member.__module__}.{member.__name__}\n    options:\n      members: false\n"
        yield f"Its name in commands and recipes: `{name}`.\n"
        if "\n\n" in (inspect.getdoc(module) or ""):  # the paper, the formula, what differs from it
            options = "{members: false, show_root_heading: false, show_root_toc_entry: false}"
            yield f"::: {module.__name__}\n    options: {options}\n"


def classes_of_options(member: type) -> Iterator[type]:
    """Yield the class that a member extends and passes its ``**options`` on to, if it does."""
    if inspect.getfullargspec(member).varkw:
        yield next(cls for cls in member.__mro__[1:] if "__init__" in vars(cls))


def commands_page() -> Iterator[str]:
    """Yield every command with what its ``--help`` prints."""
    yield "# Command line\n\nEvery command takes `--config file.yaml`; options after it override the file.\n"
    os.environ["COLUMNS"] = "82"  # what a page of usual width shows without scrolling
    for name in command_names():
        yield f"## growlm {name}\n\n```{{.text .aligned}}\n{help_of(name)}```\n"


def help_of(name: str) -> str:
    """Return what ``growlm NAME --help`` prints; for ``fit``, which is Lightning's, only where its options are."""
    if name == "fit":
        return (
            "growlm fit --config recipes/skills/chat.yaml\n\nA LightningCLI over the same phase: growlm fit --help.\n"
        )
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([name, "--help"])
    return "".join(letter for letter in out.getvalue() if letter.isprintable() or letter == "\n")


def recipes_page() -> Iterator[str]:
    """Yield a table of the recipes."""
    yield "# Recipes\n\nYAML files in `recipes/`, also inside the installed package.\n"
    yield "| recipe | what it is for |\n|---|---|"
    for group in recipe_groups():
        for name in recipe_names(group):
            yield f"| `{group}/{name}` | {recipe_summary(recipe_path(group, name))} |"
