"""Running the base suite from the command line: progress to stderr, a table at the end."""

from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from growlm.errors import GrowlmError, unknown_name
from growlm.manifest.path import format_path
from growlm.metrics.base_suite import BaseSuite, base_suite
from growlm.stack.stack import ModuleStack

SUITES = ("base",)


def run_suite(stack: ModuleStack, suite: str, stories: Path | None, blimp: Path | None, limit: int | None) -> BaseSuite:
    """Runs a suite on the active path of a stack.

    Args:
        stack: the stack.
        suite: the suite's name.
        stories: text with ``<|endoftext|>`` lines between the stories; None: bits per byte are left out.
        blimp: folder of BLiMP's files; None: BLiMP is left out.
        limit: only the first so many stories, pairs of each file, and probes of each sort.

    Returns:
        The figures.

    Raises:
        GrowlmError: for an unknown suite, or files that are missing or malformed.
    """
    if suite not in SUITES:
        raise unknown_name("suite", suite, SUITES)
    if limit is not None and limit < 1:
        raise GrowlmError(f"limit {limit} is too small: give 1 or more")
    console = Console(stderr=True, highlight=False)
    for missing, option, what in ((stories is None, "--stories", "bits per byte"), (blimp is None, "--blimp", "BLiMP")):
        if missing:
            console.print(f"{what} left out: no {option} given")
    with Progress(console=console, disable=not console.is_terminal) as bar:
        tasks: dict[str, int] = {}

        def tell(what: str, share: float) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(f"{what} on {format_path(stack.path)}", total=1.0)
                if not console.is_terminal:
                    console.print(f"measuring {what} on {format_path(stack.path)}")
            bar.update(tasks[what], completed=share)  # type: ignore[arg-type]  # a TaskID is an int

        return base_suite(stack, stack.tokenizer, stories, blimp, limit, tell)


def suite_table(result: BaseSuite) -> Table:
    """Puts a suite's figures into a table."""
    table = Table("figure", "value")
    for figure, value in result.rows():
        table.add_row(figure, value)
    return table
