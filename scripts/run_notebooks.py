"""Execute the notebooks from the repository's root: ``python scripts/run_notebooks.py [--write] [NAME ...]``.

Every picture that is stored has to be drawn again, and not blank. ``--write`` stores the new outputs instead.
"""

import base64
import io
import sys
from pathlib import Path
from typing import Any

import matplotlib.image
import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]


def pictures(notebook: Any) -> list[list[str]]:
    """Return, for each cell, the PNG files among its outputs, in base64."""
    return [
        [output["data"]["image/png"] for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
        for cell in notebook.cells
    ]


def is_blank(png: str) -> bool:
    """Return whether a picture has one colour only."""
    return bool(matplotlib.image.imread(io.BytesIO(base64.b64decode(png))).std() == 0)


def tidy(outputs: list[Any]) -> list[Any]:
    """Return outputs as they look at the end: no log, printed text in one piece, a moving bar where it stopped."""
    kept: list[Any] = []
    for output in outputs:
        if output.get("name") == "stdout" and kept and kept[-1].get("name") == "stdout":
            kept[-1].text += output.text
        elif output.get("name") != "stderr":
            kept.append(output)
    for output in kept:
        if output.get("name") == "stdout":
            output.text = "".join(line.rpartition("\r")[2] for line in output.text.splitlines(keepends=True))
    return kept


def check(path: Path, write: bool) -> str | None:
    """Execute one notebook and return what is wrong with its pictures, or None."""
    notebook = nbformat.read(path, 4)
    stored = [len(cell) for cell in pictures(notebook)]
    NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(ROOT)}}).execute()
    drawn = pictures(notebook)
    if any(is_blank(png) for cell in drawn for png in cell):
        return f"{path.name}: a picture is blank"
    if write:
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # times would change with every run
            if "outputs" in cell:
                cell.outputs = tidy(cell.outputs)
        nbformat.write(notebook, path)
    elif [len(cell) for cell in drawn] != stored:
        return f"{path.name}: {stored} pictures are stored by cell, {[len(cell) for cell in drawn]} were drawn"
    return None


def main(arguments: list[str]) -> int:
    """Run the notebooks that are named, or all; return 1 if a picture is missing or blank."""
    names = [argument for argument in arguments if argument != "--write"]
    paths = [ROOT / "notebooks" / f"{name}.ipynb" for name in names] or sorted((ROOT / "notebooks").glob("*.ipynb"))
    wrong = [problem for path in paths if (problem := check(path, "--write" in arguments))]
    print("\n".join(wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
