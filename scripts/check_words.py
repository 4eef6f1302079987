"""Finds words that this project does not use; run by ``nox -s lint`` and before each commit.

Each entry has a pattern and what to write instead. Prose, docstrings, messages and names are searched alike.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("growlm", "docs", "benchmarks", "recipes", "examples", "scripts", ".github")
PAGES = ("README.md", "CONTRIBUTING.md", "REPRODUCIBILITY.md", "SECURITY.md", "CHANGELOG.md", "noxfile.py")
SUFFIXES = {".py", ".md", ".yaml", ".yml"}

WORDS = {
    r"\bis no path\b": "is not a path",
    r"\banatomy\b": "architecture",
    r"\bstand_in\b|\brun_as_one\b": "override_weights, merged_layer",
    r"\bbackbone\b": "base",
}


def offenders(text: str) -> list[tuple[int, str, str]]:
    """Return line number, word and advice for each unwanted word of a text."""
    return [
        (number, match[0], advice)
        for number, line in enumerate(text.splitlines(), 1)
        for pattern, advice in WORDS.items()
        for match in re.finditer(pattern, line)
    ]


def main() -> int:
    """Print every unwanted word with its place; return 1 if there is one."""
    paths = [ROOT / page for page in PAGES]
    paths += [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path.suffix in SUFFIXES]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {word!r}: write {advice}"
        for path in paths
        if path != Path(__file__).resolve() and path.exists()
        for number, word, advice in offenders(path.read_text(encoding="utf-8"))
    ]
    print("\n".join(found))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
