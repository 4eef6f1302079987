"""File operations that fail or end the process, and processes that are killed."""

import builtins
import errno
import functools
import io
import os
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from growlm.errors import GrowlmError, outside_error

OPERATIONS = (
    *((os, name) for name in ("open", "fsync", "replace", "rename", "unlink", "mkdir", "rmdir", "scandir")),
    *((os, "ftruncate"), (shutil, "copyfile"), (shutil, "rmtree")),
)
DONE, REFUSED, TRACEBACK, INTERRUPTED = 0, 2, 3, 130
"""Exit statuses of a process that ran something."""
KILLED = -signal.SIGKILL
Work = Callable[[], object]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(number: int) -> Callable[[], None]:
    def failing() -> None:
        raise OSError(number, os.strerror(number))

    return failing


FAULTS = {"die": die, "ENOSPC": fail(errno.ENOSPC), "EIO": fail(errno.EIO)}


@contextmanager
def injected(moment: int, fault: Callable[[], None] = die) -> Iterator[list[str]]:
    """Let the file operation number ``moment`` fail; yield the names of those that were begun."""
    seen: list[str] = []

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            seen.append(name)
            if len(seen) - 1 == moment:
                fault()
            return function(*args, **kwargs)

        return counted

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in OPERATIONS:
            patch.setattr(owner, name, counting(name, getattr(owner, name)))
        unchanged = io.open
        opened = counting("open for writing", unchanged)

        def open_counted(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            writes = set(mode) & set("wax+") and not isinstance(file, int)
            return (opened if writes else unchanged)(file, mode, *args, **kwargs)

        patch.setattr(io, "open", open_counted)
        patch.setattr(builtins, "open", open_counted)
        yield seen


def operations_of(work: Work) -> list[str]:
    """Run something whole; return the names of its file operations."""
    with injected(-1) as operations:
        work()
    return operations


def begin(work: Work) -> int:
    """Begin something in a process of its own, which prints nothing but a traceback; return the process's number."""
    number = os.fork()
    if number:
        return number
    status, kept = TRACEBACK, os.dup(2)
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        work()
        status = DONE
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BaseException as error:
        if isinstance(error, GrowlmError) or outside_error(error) is not None:
            status = REFUSED
        else:
            os.write(kept, traceback.format_exc().encode())
    os._exit(status)


def end(number: int) -> int:
    """Wait for a process; return its exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def run_apart(work: Work) -> int:
    """Run something in a process of its own; return its exit status."""
    return end(begin(work))


def faulted(work: Work, moment: int, fault: Callable[[], None] = die) -> int:
    """Run something in a process of its own whose file operation number ``moment`` fails; return the exit status."""

    def failing() -> None:
        with injected(moment, fault):
            work()

    return run_apart(failing)


def killed_after(work: Work, seconds: float) -> bool:
    """Kill something after a time of the processor, whatever else the machine does; return whether it was killed."""

    def limited() -> None:
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process as SIGKILL does: nothing is caught
        signal.setitimer(signal.ITIMER_PROF, max(seconds, 1e-3))
        work()

    return run_apart(limited) == -signal.SIGPROF
