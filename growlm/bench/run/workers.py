"""Running cells on this machine: in this process, or in several side by side, one for each GPU where there are any."""

import logging
import multiprocessing
import os
import threading
import traceback
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from growlm.bench.plan.cell import Cell
from growlm.bench.run.run_cell import Bench, run_cell
from growlm.errors import GrowlmError, check_at_least
from growlm.progress import Advance, track

_STOP = None
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """A cell that could not be run.

    Args:
        cell: the cell.
        reason: why, in a line.
    """

    cell: Cell
    reason: str


@dataclass(frozen=True)
class Workers:
    """How many processes run, and on what.

    Args:
        count: how many; 1 runs in this process.
        threads: CPU threads of each.
        gpus: how many GPUs there are; the processes take turns on them.
    """

    count: int
    threads: int
    gpus: int = 0


def machine_workers(count: int | None = None, threads: int | None = None) -> Workers:
    """Divide this machine: a process for each GPU, else for each CPU core that this process may use.

    Args:
        count: number of processes; None: one for each GPU, else for each core.
        threads: CPU threads of each; None: an equal share of the cores.

    Returns:
        The processes.

    Raises:
        GrowlmError: for less than one.
    """
    import torch

    for key, value in (("--workers", count), ("--threads", threads)):
        if value is not None:
            check_at_least(key, value, 1)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    count = count or gpus or cores
    return Workers(count, threads or max(1, cores // count), gpus)


def run_local(cells: Sequence[Cell], bench: Bench, workers: Workers) -> list[Failure]:
    """Run cells on this machine.

    A cell that fails does not stop the others.

    Args:
        cells: the cells.
        bench: where and how.
        workers: how many processes.

    Returns:
        What failed.

    Raises:
        KeyboardInterrupt: if the benchmark was interrupted; the same command continues it.
    """
    with track(sum(len(list(cell.phases())) for cell in cells), "phases") as advance:
        if workers.count == 1 or len(cells) <= 1:
            return run_here(cells, bench, workers.threads, advance)
        return _Pool(cells, bench, workers, advance).run()


def run_here(cells: Sequence[Cell], bench: Bench, threads: int, advance: Advance) -> list[Failure]:
    """Run cells one after the other in this process; see ``run_local``."""
    from growlm.train.machine import set_threads
    from growlm.train.score_cache import ScoreCache

    set_threads(threads)
    memory = ScoreCache(bench.split)
    failures: list[Failure] = []
    for cell in cells:
        reason = _run(cell, bench, memory, advance)
        if reason is not None:
            _logger.error("%s: failed: %s", cell.name, reason)
            failures.append(Failure(cell, reason))
    return failures


def _run(cell: Cell, bench: Bench, memory: Any, advance: Advance) -> str | None:
    """Run a cell; return the reason if it fails, and write the traceback of what is not the user's mistake."""
    try:
        run_cell(cell, bench, memory, advance)
    except GrowlmError as error:
        return str(error)
    except Exception as error:
        file = cell.folder(bench.out) / "error.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(traceback.format_exc(), encoding="utf-8")
        return f"{type(error).__name__}, see {file}"
    return None


class _Pool:
    """Processes that each get the next cell when they finish one; one that dies is replaced."""

    def __init__(self, cells: Sequence[Cell], bench: Bench, workers: Workers, advance: Advance) -> None:
        self._waiting = deque(cells)
        self._bench = bench
        self._workers = workers
        self._advance = advance
        self._context = multiprocessing.get_context("spawn")
        self._busy: dict[Connection, tuple[BaseProcess, Cell, int]] = {}
        self._failures: list[Failure] = []

    def run(self) -> list[Failure]:
        try:
            for place in range(min(self._workers.count, len(self._waiting))):
                self._start(place)
            while self._busy:
                for ready in wait(list(self._busy)):
                    assert isinstance(ready, Connection)
                    self._receive(ready)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("interrupted; run the same command again to continue") from None
        finally:
            for process, _, _ in self._busy.values():
                process.terminate()
                process.join()
        return self._failures

    def _start(self, place: int) -> None:
        """Start a process and send it the next cell."""
        here, there = self._context.Pipe()
        gpu = place % self._workers.gpus if self._workers.gpus else None
        arguments = (there, self._bench, self._workers.threads, gpu)
        process = self._context.Process(target=_work, args=arguments, name=f"growlm bench {place}")
        process.start()
        there.close()
        self._send(here, process, place)

    def _send(self, link: Connection, process: BaseProcess, place: int) -> None:
        """Send a process the next cell, or end it."""
        self._busy.pop(link, None)
        if not self._waiting:
            with suppress(OSError):
                link.send(_STOP)
            process.join()
            link.close()
            return
        cell = self._waiting.popleft()
        self._busy[link] = (process, cell, place)
        with suppress(OSError):  # a process that has died meanwhile is noticed when its messages are read
            link.send(cell)

    def _receive(self, link: Connection) -> None:
        process, cell, place = self._busy[link]
        try:
            sort, text = link.recv()
        except (EOFError, OSError):
            process.join()
            del self._busy[link]
            self._fail(cell, f"its process ended with status {process.exitcode}; was there enough memory?")
            if self._waiting:
                self._start(place)
            return
        if sort == "line":
            _logger.info("%s", text)
            return
        if sort == "phase":
            self._advance()
            return
        if text is not None:
            self._fail(cell, text)
        self._send(link, process, place)

    def _fail(self, cell: Cell, reason: str) -> None:
        _logger.error("%s: failed: %s", cell.name, reason)
        self._failures.append(Failure(cell, reason))


def _work(link: Connection, bench: Bench, threads: int, gpu: int | None) -> None:
    """Run cell after cell in a process of its own; scores and data that they share are computed once."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu)  # read when the GPU is first used
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from growlm.train.machine import set_threads
    from growlm.train.score_cache import ScoreCache

    set_threads(threads)
    memory = ScoreCache(bench.split)
    os.environ["TTY_COMPATIBLE"] = "0"  # the parent alone draws bars
    logger = logging.getLogger("growlm.bench")
    logger.addHandler(_Forward(link))
    logger.setLevel(logging.INFO)
    try:
        while (cell := link.recv()) is not _STOP:
            reason = _run(cell, bench, memory, lambda n=1, note="": link.send(("phase", None)))
            link.send(("end", reason))
    except KeyboardInterrupt:
        os._exit(130)  # the parent was interrupted as well, and reports it


class _Forward(logging.Handler):
    """Send log records to the parent process, which prints them."""

    def __init__(self, link: Connection) -> None:
        super().__init__()
        self._link = link

    def emit(self, record: logging.LogRecord) -> None:
        self._link.send(("line", record.getMessage()))


def _end_with_parent() -> None:
    """End this process when its parent is gone, so that the folders of its cells are not locked."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
