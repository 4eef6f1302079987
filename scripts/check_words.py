"""Finds words that this project does not use; run by ``nox -s lint`` and before each commit.

Each entry has a pattern and what to write instead. Prose, docstrings, messages and names are searched alike.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXCEPT = ("growlm/tinyworld",)  # stories for children
FOLDERS = ("growlm", "docs", "benchmarks", "recipes", "examples", "scripts", ".github")
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
    r"\bso many\b": "a number of, at most",
    r"\bmend\b": "correct",
    r"\btold\b": "given, predicted, recognised",
    r"\bSwitch\b|\bunfold\b|\bwatched\b|\bNotice\b": "context, unmerge, captured, logging",
    r"\bContinuedMethod\b|\brows_beside\b|\bwith_layer\b": "VersionedMethod, extra_forward_rows, fused_forward",
    r'"""(?:Gives|Lets|Tells|Puts)\b': "the imperative: Return …",
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
        if not path.relative_to(ROOT).as_posix().startswith(EXCEPT)
        for number, word, advice in offenders(path.read_text(encoding="utf-8"))
    ]
    print("\n".join(found))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
