"""A process without rights to read mutants in: its time, its memory and what it may touch are limited."""

import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from growlm.errors import GrowlmError, outside_error
from tests.torture.mutations import MARKER

SECONDS = 10.0
"""Processor time that one mutant may take: a machine that is busy with something else changes nothing."""
HANG = 300.0
"""Time after which a mutant that waits, without using a processor, has failed, in seconds."""
MEMORY = 256 << 20
"""What a process may allocate beyond what it had, in bytes; the files themselves have a few kilobytes."""
WARM_UP = 3
MINUTES = float(os.environ.get("TORTURE_MINUTES", "60"))
"""After this long a reader gets no more mutants; the count that is printed is what it got."""


@contextmanager
def sandbox() -> Iterator[Path]:
    """A folder in memory where there is some, with the module that nothing may import on the path."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None, prefix="mutants-"))
    (folder / "path").mkdir()
    (folder / "path" / f"{MARKER}.py").write_text("class Run:\n    def __init__(self, x=0):\n        pass\n")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def read_mutants(name: str, count: int, folder: Path, read: Callable[[random.Random], object], seed: int = 0) -> str:
    """Read mutants in a process of its own; raise what went wrong with the number of the mutant.

    Args:
        name: the reader.
        count: how many mutants.
        folder: the only folder that may be touched.
        read: makes a mutant from a random state and reads it; ``GrowlmError`` and what the command line turns into
            one line are refusals, everything else is a fault.
        seed: of all mutants.

    Returns:
        A line with the counts.
    """
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiving)
        said = "the process ended"
        try:
            said = _read_all(name, count, folder, read, seed)
        except BaseException:
            said = f"FAULT {traceback.format_exc()}"
        finally:
            with os.fdopen(sending, "w", encoding="utf-8", errors="replace") as pipe:
                pipe.write(said)
            os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, encoding="utf-8") as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"{name}: the process ended with {status}: {said}"
    assert said, name
    assert not said.startswith("FAULT"), f"{name}: {said}"
    return said


def _read_all(name: str, count: int, folder: Path, read: Callable[[random.Random], object], seed: int) -> str:
    sys.path.insert(0, str(folder / "path"))
    sys.dont_write_bytecode = True  # what is imported late is not written to
    tempfile.tempdir = str(folder)
    signal.signal(signal.SIGPROF, _too_slow)
    signal.signal(signal.SIGALRM, _too_slow)
    for number in range(-WARM_UP, 0):  # what is imported on first use
        _refuses(number, read, seed)
    touched = _watch(folder)
    _limit_memory()
    refused, slowest, before = 0, 0.0, time.process_time()
    faults: dict[str, str] = {}  # one of each place
    end = time.monotonic() + MINUTES * 60
    for number in range(count):
        if time.monotonic() > end:
            count = number
            break
        begun = time.process_time()
        try:
            refused += _refuses(number, read, seed)
            if touched or MARKER in sys.modules:
                what, touched[:] = touched[0] if touched else MARKER, []
                sys.modules.pop(MARKER, None)
                raise RuntimeError(f"touched {what}")
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            said = "".join(traceback.format_exception(error))
            faults.setdefault(f"{type(error).__name__} {last.filename}:{last.lineno}", f"mutant {number}\n{said}")
        slowest = max(slowest, time.process_time() - begun)
    if refused == count >= 100:
        return "FAULT every mutant was refused: is the original right?"
    if faults:
        return f"FAULT {len(faults)} places\n" + "\n".join(faults.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    each = 1e3 * (time.process_time() - before) / count
    return f"{name}: {count} mutants, {refused} refused, slowest {slowest:.2f} s, {each:.1f} ms each, {peak} MB at most"


def _refuses(number: int, read: Callable[[random.Random], object], seed: int) -> bool:
    """Read one mutant; return whether it was refused in one line."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, HANG)
    try:
        read(random.Random(f"{seed} {number}"))
        return False
    except Exception as error:
        line = str(error) if isinstance(error, GrowlmError) else outside_error(error)
        if line is None or isinstance(error, MemoryError):
            raise
        _check_line(line)
        return True
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _check_line(text: str) -> None:
    if not text.strip() or len(text) > 4000:
        raise RuntimeError(f"a message of {len(text)} characters: {text[:300]!r}")
    if "allocate" in text or "not enough memory" in text:
        raise RuntimeError(f"more memory was asked for than allowed: {text[:300]}")


def _too_slow(number: int, *_: object) -> None:
    waited = number == signal.SIGALRM
    raise RuntimeError(f"waited for {HANG} s" if waited else f"took more than {SECONDS} s of a processor")


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


_PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "socket.connect", "pty.spawn")
_CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.truncate")
_READABLE = (sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]), "/proc", "/sys", "/usr", "/dev/null", "/etc/")
_FORBIDDEN = ("/etc/passwd",)


def _watch(folder: Path) -> list[str]:
    """List, from now on and as long as the process lives, what is run and what is touched outside a folder."""
    touched: list[str] = []

    def path_of(path: Any, descriptor: int = -1) -> str:
        if isinstance(path, int):
            return str(folder)
        text = os.fsdecode(path)
        if not text.startswith("/"):
            at = f"/proc/self/fd/{descriptor}"
            text = f"{os.readlink(at) if descriptor >= 0 else os.getcwd()}/{text}"  # noqa: PTH115, PTH109
        return os.path.normpath(text)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(_PROGRAMS):
            touched.append(f"{event} {arguments!r}"[:200])
        elif event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path, _, flags = arguments
            place = path_of(path)
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
            outside = not place.startswith(str(folder))
            unasked = place.startswith(_FORBIDDEN) or not place.startswith(_READABLE)
            if outside and ((writes and place != "/dev/null") or unasked):
                touched.append(f"open {place}")
        elif event in _CHANGES:
            descriptor = next((value for value in arguments[1:] if isinstance(value, int) and value >= 0), -1)
            descriptor = -1 if event in ("os.mkdir", "os.chmod") and len(arguments) < 3 else arguments[-1]
            descriptor = descriptor if isinstance(descriptor, int) else -1
            place = path_of(arguments[0], descriptor)
            if not place.startswith(str(folder)):
                touched.append(f"{event} {place}")

    sys.addaudithook(hook)
    return touched
