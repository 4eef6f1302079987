"""Mutants of files, and a process without rights to read them in: time, memory and what it may touch are limited."""

import json
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

SECONDS = 10.0
"""The longest that one mutant may take."""
MEMORY = 256 << 20
"""What a process may allocate beyond what it had, in bytes; the files themselves have a few kilobytes."""
WARM_UP = 3
MINUTES = float(os.environ.get("TORTURE_MINUTES", "60"))
"""After this long a reader gets no more mutants; the count that is printed is what it got."""
MARKER = "hostile_marker"
"""A module that lies on the path and that nothing may import."""
_DEEP: Any = 0
for _ in range(150):
    _DEEP = [_DEEP]
HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3.5, 2**31, 2**63, 10**30, -(10**30), 1e308, -1e308, 1e-300),
    *(
        "",
        "x",
        "a",
        "grow",
        "lora",
        "ridge",
        "chat",
        "jsonl",
        "stories",
        "hub",
        "llama",
        "gpt2",
        "t5",
        "silu",
        "float32",
    ),
    *("../outside", "/etc/passwd", "~/.ssh/id_rsa", "/dev/zero", "file.jsonl", "a/b", ".", "\x00", "\ud800"),
    *("\x1b[31mred\x1b[0m", "[bold]x[/]", "[/]", "<script>alert(1)</script>", "{{x}}", "${x}", "%s%s", "x" * 3000),
    *("os.system", "builtins.eval", f"{MARKER}.Run", "NaN", "Infinity", "1e999", "0x10", "1_000"),
    *({}, [], [[]], [None], {"": None}, [0] * 300, _DEEP, ["a", "a"], [1, "a"], {"name": "a", "options": {}}),
    {"class_path": f"{MARKER}.Run", "init_args": {"x": 1}},
    {"class_path": "os.system", "init_args": {"command": "true"}},
    {"name": "jsonl", "options": {"train": "/etc/passwd"}},
    {"auto_map": {"AutoConfig": f"{MARKER}.Run"}},
)


def mutate_bytes(rng: random.Random, content: bytes) -> bytes:
    """Flip a bit, cut, repeat, put in, replace, or empty."""
    kind, at = rng.randrange(7), rng.randrange(len(content) + 1)
    if kind <= 1 and content:
        at = min(at, len(content) - 1)
        return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
    if kind == 2:
        return content[:at]
    if kind == 3:
        return content[:at] + content[at : at + rng.randrange(1, 200)] * rng.choice((1, 1, 2, 30)) + content[at:]
    if kind == 4:
        return content[:at] + rng.randbytes(rng.randrange(1, 12)) + content[at:]
    if kind == 5:
        more = rng.randbytes(rng.randrange(1, 12))
        return content[:at] + more + content[at + len(more) :]
    return rng.choice((b"", b"\x00", b"{}", b"[]", b"null", content + content, content[::-1]))


def mutate_json(rng: random.Random, content: Any) -> Any:
    """Change one to three places of a JSON value: other values, other keys, more and fewer of them."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = _mutated(rng, content)
    return content


def dump_json(content: Any, **options: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, **options).encode(errors="surrogatepass")


def _places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inner:
        yield from _places(value, (*path, key))


def _mutated(rng: random.Random, content: Any) -> Any:
    if content is _DEEP:
        return content
    path = rng.choice(list(_places(content))[:2000])
    root = {"": content}
    holder: Any = root
    keys = ("", *path)
    copied = json.loads(json.dumps(root))
    holder = copied
    for key in keys[:-1]:
        holder = holder[key]
    key, kind = keys[-1], rng.randrange(6)
    if kind == 0 and len(keys) > 1:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder[key:key] = [holder[key]] * rng.choice((1, 2, 200))
    elif kind == 1 and isinstance(holder, dict) and len(keys) > 1:
        holder[rng.choice(("", "class_path", "auto_map", "name", f"{key}2", "x" * 300))] = holder.pop(key)
    elif kind == 2 and isinstance(holder[key], dict):
        holder[key][rng.choice(("extra", "class_path", "init_args", "auto_map", "torch_dtype"))] = rng.choice(HOSTILE)
    elif kind == 3 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = rng.choice((-holder[key], holder[key] + 1, holder[key] * 1000, float(holder[key]), 0))
    else:
        holder[key] = rng.choice(HOSTILE)
    return copied[""]


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
    tempfile.tempdir = str(folder)
    signal.signal(signal.SIGALRM, _too_slow)
    for number in range(-WARM_UP, 0):  # what is imported on first use
        _refuses(number, read, seed)
    touched = _watch(folder)
    _limit_memory()
    refused, slowest, before = 0, 0.0, time.process_time()
    faults: dict[str, str] = {}  # one of each place
    started = time.monotonic()
    for number in range(count):
        begun = time.monotonic()
        if begun - started > MINUTES * 60:
            count = number
            break
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
        slowest = max(slowest, time.monotonic() - begun)
    if refused == count >= 100:
        return "FAULT every mutant was refused: is the original right?"
    if faults:
        return f"FAULT {len(faults)} places\n" + "\n".join(faults.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    each = 1e3 * (time.process_time() - before) / count
    return f"{name}: {count} mutants, {refused} refused, slowest {slowest:.2f} s, {each:.1f} ms each, {peak} MB at most"


def _refuses(number: int, read: Callable[[random.Random], object], seed: int) -> bool:
    """Read one mutant; return whether it was refused in one line."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
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
        signal.setitimer(signal.ITIMER_REAL, 0)


def _check_line(text: str) -> None:
    if not text.strip() or len(text) > 4000:
        raise RuntimeError(f"a message of {len(text)} characters: {text[:300]!r}")
    if "allocate" in text or "not enough memory" in text:
        raise RuntimeError(f"more memory was asked for than allowed: {text[:300]}")


def _too_slow(*_: object) -> None:
    raise RuntimeError(f"longer than {SECONDS} s")


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
