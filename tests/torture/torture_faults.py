"""Every file operation of every command that writes, each of them failing in every way: nothing is lost.

Not in the default tests: ``nox -s torture``. Each test prints how many faults it injected.
"""

import builtins
import errno
import functools
import io
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from growlm.errors import GrowlmError
from growlm.files import folder_lock
from growlm.manifest import store
from growlm.manifest.integrity import verify_files
from growlm.manifest.manifest import read_manifest
from tests.torture.folders import COMMANDS, USERS, add_users, drop, grow, own, stack, undo

OPERATIONS = ((os, "open"), (os, "fsync"), (os, "replace"), (os, "rename"), (os, "unlink"), (os, "mkdir"))
OPERATIONS += ((os, "rmdir"), (os, "scandir"), (os, "ftruncate"), (shutil, "copyfile"), (shutil, "rmtree"))
KILLS = int(os.environ.get("TORTURE_KILLS", "1000"))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(number: int) -> Callable[[], None]:
    def failing() -> None:
        raise OSError(number, os.strerror(number))

    return failing


FAULTS = {"die": die, "ENOSPC": fail(errno.ENOSPC), "EIO": fail(errno.EIO)}


@contextmanager
def injected(moment: int, fault: Callable[[], None]) -> Iterator[list[str]]:
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
        opened = counting("open for writing", io.open)

        def open_counted(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            writes = set(mode) & set("wax+") and not isinstance(file, int)
            return (opened if writes else open_as_ever)(file, mode, *args, **kwargs)

        open_as_ever = io.open
        patch.setattr(io, "open", open_counted)
        patch.setattr(builtins, "open", open_counted)
        yield seen


def in_child(work: Callable[[], None]) -> int:
    """Run something in a process of its own; return its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        status = 0
        try:
            work()
        except GrowlmError:
            status = 2
        except BaseException:
            import traceback

            traceback.print_exc()
            status = 3
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = stack(tmp_path_factory.mktemp("original") / "stack", "a", "b", "c")
    add_users(folder)
    return folder


def check(folder: Path, old: dict[str, bytes], new: dict[str, bytes]) -> str:
    """Check a folder after an interruption; return which state it is in."""
    names = [module.name for module in read_manifest(folder).modules]
    verify_files(folder)  # readers find a whole stack before anything is recovered
    with folder_lock(folder):
        store.recover(folder)
    assert [module.name for module in read_manifest(folder).modules] == names
    found = own(folder)
    assert found in (old, new)
    for name, content in USERS.items():
        assert (folder / name).read_bytes() == content
    return "old" if found == old else "new"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_operation_of_a_command(original: Path, tmp_path: Path, command: str, capfd: Any) -> None:
    old, whole = own(original), tmp_path / "whole"
    shutil.copytree(original, whole)
    with injected(-1, die) as operations:
        COMMANDS[command](whole)
    new, folder = own(whole), tmp_path / "stack"
    ends = {"old": 0, "new": 0}
    for moment in range(len(operations)):
        for name, fault in FAULTS.items():
            shutil.copytree(original, folder)

            def run(fault: Callable[[], None] = fault, moment: int = moment) -> None:
                with injected(moment, fault):
                    COMMANDS[command](folder)

            status = in_child(run)
            assert status in ((-signal.SIGKILL,) if name == "die" else (0, 2)), (operations[moment], name, status)
            state = check(folder, old, new)
            ends[state] += 1
            if state == "old":
                COMMANDS[command](folder)
                assert own(folder) == new
            shutil.rmtree(folder)
    assert min(ends.values()) > 0
    with capfd.disabled():
        sys.stdout.write(
            f"\n{command}: {len(operations)} file operations x {len(FAULTS)} faults = {sum(ends.values())}: {ends}\n"
        )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_operation_of_a_recovery(original: Path, tmp_path: Path, command: str, capfd: Any) -> None:
    """An interrupted command whose recovery is interrupted too."""
    old, whole, folder = own(original), tmp_path / "whole", tmp_path / "stack"
    shutil.copytree(original, whole)
    with injected(-1, die) as operations:
        COMMANDS[command](whole)
    new, count = own(whole), 0

    def recover(moment: int) -> None:
        with injected(moment, die), folder_lock(folder):
            store.recover(folder)

    def run(moment: int) -> None:
        with injected(moment, die):
            COMMANDS[command](folder)

    draw = random.Random(0)
    for moment in draw.sample(range(len(operations)), 12):
        interrupted = tmp_path / "interrupted"
        shutil.copytree(original, folder)
        in_child(functools.partial(run, moment))
        folder.rename(interrupted)
        for later in range(60):
            shutil.copytree(interrupted, folder)
            ended = in_child(functools.partial(recover, later))
            check(folder, old, new)
            shutil.rmtree(folder)
            count += 1
            if ended == 0:
                break
        shutil.rmtree(interrupted)
    with capfd.disabled():
        sys.stdout.write(f"\n{command}: {count} kills of a recovery after 12 kills\n")


def test_killed_at_random_moments(tmp_path: Path, capfd: Any) -> None:
    folder, draw = stack(tmp_path / "stack", "a"), random.Random(int(os.environ.get("TORTURE_SEED", "0")))
    add_users(folder)

    def work() -> None:
        for _ in range(1_000):
            grow(folder, "b", ("a",))
            grow(folder, "c")
            drop(folder, "b")
            grow(folder, "b")
            undo(folder)
            undo(folder)

    killed = 0
    for _ in range(KILLS):
        child = os.fork()
        if child == 0:
            try:
                work()
            finally:
                os._exit(3)
        time.sleep(draw.uniform(0.005, 0.15))
        os.kill(child, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        read_manifest(folder)
        verify_files(folder)
        with folder_lock(folder):
            store.recover(folder)
        names = [module.name for module in read_manifest(folder).modules]
        assert names[0] == "a"
        assert {name: (folder / name).read_bytes() for name in USERS} == USERS
        assert {path.name for path in (folder / "modules").iterdir() if path.name[0].isdigit()} == {
            f"{number:02d}-{name}" for number, name in enumerate(names)
        }
        while len(read_manifest(folder).modules) > 1:
            undo(folder)
    assert killed == KILLS
    with capfd.disabled():
        sys.stdout.write(f"\n{killed} kills at random moments\n")
