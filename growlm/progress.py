"""Progress of long loops and the log of the command line, both on stderr.

Modules report with ``logging.getLogger(__name__).info(...)`` and wrap long loops in ``track``. A program that uses
growlm as a library decides itself what becomes of the ``growlm`` logger; the command line calls ``log_to_stderr``.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Protocol

from growlm.terminal import safe_console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

LOG_SECONDS = 10.0
"""Seconds between two log lines of a loop where there is no terminal."""

_logger = logging.getLogger(__name__)
_display: "Progress | None" = None  # bars of nested loops share one: a terminal has one live area


class Advance(Protocol):
    """Reports units of work as done."""

    def __call__(self, n: float = 1, note: str = "") -> None:
        """Report progress.

        Args:
            n: units finished since the last call.
            note: current values shown beside the bar, such as ``"loss 2.310"``.
        """


@contextmanager
def track(total: float, description: str, completed: float = 0) -> Iterator[Advance]:
    """Show the progress of a loop: a bar in a terminal, one log line every ``LOG_SECONDS`` elsewhere.

    Args:
        total: units of work.
        description: what is done, such as ``"scoring chat"``.
        completed: units that were finished earlier, in a run that is resumed.

    Yields:
        The function to call after each unit of work, from the thread that opened the block.
    """
    from multiprocessing import parent_process

    # processes that this program started for work of its own would draw over each other
    if console().is_terminal and _is_main_process() and parent_process() is None:
        with _bar(total, description, completed) as advance:
            yield advance
        return
    lines = _Lines(total, description, completed)
    try:
        yield lines.advance
    finally:
        lines.close()


def log_to_stderr() -> None:
    """Print what the ``growlm`` logger is given, from level INFO on, to stderr; further calls change nothing.

    Other processes of a distributed run than the first print only warnings.
    """
    logger = logging.getLogger("growlm")
    if not any(isinstance(handler, _ConsoleHandler) for handler in logger.handlers):
        logger.addHandler(_ConsoleHandler())
    logger.setLevel(logging.INFO if _is_main_process() else logging.WARNING)


@cache
def console() -> "Console":
    """Return the console on stderr that bars, log lines and errors share, so that none overwrites another."""
    return safe_console(stderr=True, soft_wrap=True)


class _ConsoleHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        from rich.text import Text

        style = "yellow" if record.levelno >= logging.WARNING else ""
        console().print(Text(self.format(record), style))


@contextmanager
def _bar(total: float, description: str, completed: float) -> Iterator[Advance]:
    global _display
    outer = _display
    display = outer or _new_display()
    task = display.add_task(description, total=total, completed=int(completed), note="")
    if outer is None:
        _display = display
        display.start()

    def advance(n: float = 1, note: str = "") -> None:
        display.update(task, advance=n, note=note)

    try:
        yield advance
    finally:
        if outer is None:
            _display = None
            display.stop()
        else:
            display.remove_task(task)


def _new_display() -> "Progress":
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    note = TextColumn("{task.fields[note]}")
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), note, TimeRemainingColumn())
    return Progress(*columns, console=console())


class _Lines:
    """Logs a loop's progress now and then, and its end if it took long enough for a first line."""

    def __init__(self, total: float, description: str, completed: float) -> None:
        self.total = total
        self.description = description
        self.completed = self._first = completed
        self._note = ""
        self._started = self._logged_at = time.monotonic()
        self._logged: float | None = None

    def advance(self, n: float = 1, note: str = "") -> None:
        self.completed += n
        self._note = note
        if time.monotonic() - self._logged_at >= LOG_SECONDS:
            self._log()

    def close(self) -> None:
        if self._logged is not None and self._logged != self.completed:
            self._log()

    def _log(self) -> None:
        self._logged_at, self._logged = time.monotonic(), self.completed
        per_unit = (self._logged_at - self._started) / max(self.completed - self._first, 1e-9)
        left = f"{clock(max(0.0, self.total - self.completed) * per_unit)} left"
        values = ", ".join(part for part in (self._note, left) if part)
        _logger.info("%s: %s/%s, %s", self.description, f"{self.completed:,g}", f"{self.total:,g}", values)


def clock(seconds: float) -> str:
    """Format a duration as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _is_main_process() -> bool:
    return os.environ.get("LOCAL_RANK", "0") == "0"
