"""A benchmark from its request to its cells."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from growlm.bench.plan.cell import Cell
from growlm.bench.plan.entries import METHODS
from growlm.bench.run.run_cell import Bench, earlier_result
from growlm.bench.run.workers import Failure, Workers, run_local
from growlm.errors import GrowlmError
from growlm.files import check_name, write_json
from growlm.terminal import counted

Engine = Literal["local", "submitit"]
REQUEST_FILE = "bench.json"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runs:
    """What runs cells.

    Args:
        workers: how many processes or jobs.
        engine: this machine, or a cluster.
        cluster: parameters of the engine ``submitit``.
        command: the command line, kept beside the results.
    """

    workers: Workers
    engine: Engine = "local"
    cluster: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""


@dataclass(frozen=True)
class Done:
    """How a benchmark ended.

    Args:
        out: folder of the results.
        cells: how many cells were asked for.
        skipped: how many of them had been finished before.
        seconds: how long it took.
    """

    out: Path
    cells: int
    skipped: int
    seconds: float


def run_bench(cells: Sequence[Cell], bench: Bench, runs: Runs) -> Done:
    """Run the cells of a benchmark that are not finished yet.

    Args:
        cells: the cells.
        bench: where and how.
        runs: what runs them.

    Returns:
        How it ended.

    Raises:
        GrowlmError: before anything is run, if a cell was measured with other settings or is damaged; at the end, if
            cells failed.
    """
    started = time.monotonic()
    earlier = [earlier_result(cell, bench.out) for cell in cells]
    waiting = [cell for cell, result in zip(cells, earlier, strict=True) if result is None or not result.finished]
    bench.out.mkdir(parents=True, exist_ok=True)
    write_json(bench.out / REQUEST_FILE, {"command": runs.command, "cells": [cell.name for cell in cells]})
    skipped = len(cells) - len(waiting)
    _logger.info(
        "%d cells, %d of them finished already; %d workers, results in %s",
        *(len(cells), skipped, runs.workers.count, bench.out),
    )
    if runs.engine == "local":
        failures = run_local(waiting, bench, runs.workers)
    else:
        from growlm.bench.run.slurm import run_submitit

        failures = run_submitit(waiting, bench, runs.workers, runs.cluster)
    if failures:
        raise GrowlmError(_summary(failures, len(cells)))
    return Done(bench.out, len(cells), skipped, time.monotonic() - started)


def default_out(stream: str, base: str, entries: str) -> Path:
    """Return the folder of results: ``results/<stream>-<base>``, with the list's name unless it is ``methods``."""
    list_of_entries = Path(entries).stem
    name = f"{stream}-{Path(base).name}" + (f"-{list_of_entries}" if list_of_entries != METHODS else "")
    return Path("results") / check_name(name.lower(), "results folder (give another with --out):")


def _summary(failures: Sequence[Failure], total: int) -> str:
    first = failures[0]
    return (
        f"{len(failures)} of {counted(total, 'cell')} failed, first {first.cell.name}: {first.reason}; the others are "
        "finished, and the same command tries again"
    )
