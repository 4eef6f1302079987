"""Finds words that this project does not use; run by ``nox -s lint`` and before each commit.

Each entry has a pattern and what to write instead. Prose, docstrings, messages and names are searched alike. The
docstring of a function has to begin with an imperative.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXCEPT = (
    "growlm/tinyworld",
    "tests/data",
    "tests/unit/stack/version_1",
    "tests/unit/tinyworld",
    "tests/unit/skills",
)  # stories for children, texts of other kinds
FOLDERS = ("growlm", "tests", "docs", "benchmarks", "recipes", "examples", "scripts", ".github")
PAGES = ("README.md", "CONTRIBUTING.md", "REPRODUCIBILITY.md", "SECURITY.md", "CHANGELOG.md", "noxfile.py")
SUFFIXES = {".py", ".md", ".yaml", ".yml"}

WORDS = {
    r"\bis no path\b": "is not a path",
    r"\banatomy\b": "architecture",
    r"\bstand_in\b|\brun_as_one\b": "override_weights, merged_layer",
    r"\bbackbone\b": "base",
    r"\bgoes on where it was\b": "resumes",
    r"\bin the mean\b": "on average",
    r"\bset aside\b|\baside\b": "offload",
    r"\bso[ -]man(?:y|ieth)\b": "a number of, at most, given",
    r"\bmend\b": "correct",
    r"\btold\b": "given, predicted, recognised",
    r"\bSwitch\b|\bunfold\b|\bwatched\b|\bNotice\b": "context, unmerge, captured, logging",
    r"\bContinuedMethod\b|\brows_beside\b|\bwith_layer\b": "VersionedMethod, extra_forward_rows, fused_forward",
    r"\b[Ff]igures?\b": "number, score or metric; plot or picture",
    r"\bstands?\b": "is, means, replaces",
    r"\bmark(?:s|ed)?\b": "score, tag, name",
    r"\b(?:un)?fold(?:s|ed|ing)?\b": "merge",
}
LIBRARIES = re.compile(
    r"matplotlib|Figure\(|\bfigure(?:\.|, axes)|<figure|figure\{|tr,figure|\"figures\"|overflow=\"fold\"|_mark\b"
    r"|pytest\.mark"
)
"""Lines in which matplotlib, rich, YAML, pytest, HTML or an older file uses such a word."""

VERBS = (
    "add answer append apply ask assert attach average begin build call carry change check choose collect compare "
    "compute copy count cut decode delete describe do draw drop encode end fail fill find finish fit fix follow "
    "forget freeze generate get give go group grow guard hold import install join keep kill leave let list load "
    "look make map mark measure merge move multiply name need note number open order pack pick place plot prepare "
    "print put raise read record refuse remove replace require restore return run sample save say score seed "
    "select send set show sort start stop store sum take talk teach tell test train turn undo use wait warn watch "
    "wrap write yield "
)
THIRD_PERSON = re.compile(
    "|".join(rf"{verb.capitalize()}e?s" for verb in VERBS.split()) + "|Applies|Carries|Copies|Multiplies|Tries|Has|Is"
)


def offenders(text: str) -> list[tuple[int, str, str]]:
    """Return line number, word and advice for each unwanted word of a text."""
    return [
        (number, match[0], advice)
        for number, line in enumerate(text.splitlines(), 1)
        for pattern, advice in WORDS.items()
        for match in re.finditer(pattern, line, 0 if pattern != pattern.lower() else re.IGNORECASE)
        if not LIBRARIES.search(line)
    ]


def indicative(code: str) -> list[tuple[int, str, str]]:
    """Return the same of each function's docstring that does not begin with an imperative."""
    functions = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    found = []
    for function in functions:
        first = (ast.get_docstring(function) or "").partition(" ")[0]
        if THIRD_PERSON.fullmatch(first) and first not in ("Means", "Groups"):
            found.append((function.lineno, first, "the imperative"))
    return found


def checked(path: Path) -> list[tuple[int, str, str]]:
    """Return what is found in a file."""
    text = path.read_text(encoding="utf-8")
    return offenders(text) + (indicative(text) if path.suffix == ".py" else [])


def main() -> int:
    """Print every unwanted word with its place; return 1 if there is one."""
    paths = [ROOT / page for page in PAGES]
    paths += [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path.suffix in SUFFIXES]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {word!r}: write {advice}"
        for path in paths
        if path != Path(__file__).resolve() and path.exists()
        if not path.relative_to(ROOT).as_posix().startswith(EXCEPT)
        for number, word, advice in checked(path)
    ]
    print("\n".join(found))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
