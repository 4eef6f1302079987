"""Running the base suite from the command line: progress on stderr, a table at the end."""

import logging
from pathlib import Path

from rich.table import Table

from growlm.errors import check_at_least, unknown_name
from growlm.manifest.path import format_path
from growlm.metrics.base_suite import BaseSuite, base_suite
from growlm.progress import track
from growlm.stack.stack import ModuleStack

SUITES = ("base",)
_logger = logging.getLogger(__name__)


def run_suite(stack: ModuleStack, suite: str, stories: Path | None, blimp: Path | None, limit: int | None) -> BaseSuite:
    """Run a suite on the active path of a stack.

    Args:
        stack: the stack.
        suite: the suite's name.
        stories: text with ``<|endoftext|>`` lines between the stories; None: bits per byte are left out.
        blimp: folder of BLiMP's files; None: BLiMP is left out.
        limit: greatest number of stories, from the first on, pairs of each file, and probes of each sort.

    Returns:
        Its metrics.

    Raises:
        GrowlmError: for an unknown suite, or files that are missing or malformed.
    """
    if suite not in SUITES:
        raise unknown_name("suite", suite, SUITES)
    if limit is not None:
        check_at_least("limit", limit, 1)
    for missing, option, what in ((stories is None, "--stories", "bits per byte"), (blimp is None, "--blimp", "BLiMP")):
        if missing:
            _logger.info("%s left out: no %s given", what, option)
    parts = 1 + (stories is not None) + (blimp is not None)
    done: dict[str, float] = {}
    with track(parts, f"base suite on {format_path(stack.path)}") as advance:

        def report(part: str, share: float) -> None:
            if part not in done:
                _logger.info("measuring %s on %s", part, format_path(stack.path))
            advance(share - done.get(part, 0.0), note=part)
            done[part] = share

        return base_suite(stack, stack.tokenizer, stories, blimp, limit, report)


def suite_table(result: BaseSuite) -> Table:
    """Return a table of a suite's metrics."""
    table = Table("metric", "value")
    for metric, value in result.rows():
        table.add_row(metric, value)
    return table
