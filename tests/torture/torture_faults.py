"""Every file operation of every command that writes, each of them failing in every way: nothing is lost.

Not in the default tests: ``nox -s torture``. Each test prints how many faults it injected; ``TORTURE_KILLS`` and
``TORTURE_SEED`` set the number and the moments of the random ones.
"""

import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from growlm.files import folder_lock
from growlm.manifest import store
from growlm.manifest.integrity import verify_files
from growlm.manifest.manifest import STACK_FILE, read_manifest
from tests.torture.faults import DONE, FAULTS, KILLED, REFUSED, faulted, killed_after, operations_of
from tests.torture.folders import COMMANDS, USERS, add_users, drop, grow, own, repair, stack, undo

KILLS = int(os.environ.get("TORTURE_KILLS", "1000"))
SEED = int(os.environ.get("TORTURE_SEED", "0"))
Say = Callable[[str], None]
State = dict[str, bytes]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = stack(tmp_path_factory.mktemp("original") / "stack", "a", "b", "c")
    add_users(folder)
    return folder


def check(folder: Path, *states: State) -> int:
    """Check a folder after an interruption, as readers find it and after its recovery; return which state it is in."""
    names = [module.name for module in read_manifest(folder).modules]
    verify_files(folder)
    with folder_lock(folder):
        store.recover(folder)
    assert [module.name for module in read_manifest(folder).modules] == names
    assert {name: (folder / name).read_bytes() for name in USERS} == USERS
    return states.index(own(folder))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_operation_of_a_command(original: Path, box: Path, command: str, say: Say) -> None:
    whole, folder = shutil.copytree(original, box / "whole"), box / "stack"
    operations = operations_of(partial(COMMANDS[command], whole))
    old, new = own(original), own(whole)
    ends = Counter[str]()
    for moment, operation in enumerate(operations):
        for name, fault in FAULTS.items():
            shutil.copytree(original, folder)
            status = faulted(partial(COMMANDS[command], folder), moment, fault)
            assert status in ((KILLED,) if name == "die" else (DONE, REFUSED)), (operation, name, status)
            state = check(folder, old, new)
            ends[["old", "new"][state]] += 1
            if state == 0:
                COMMANDS[command](folder)
                assert own(folder) == new
            shutil.rmtree(folder)
    assert set(ends) == {"old", "new"}
    say(f"{command}: {len(operations)} file operations x {len(FAULTS)} faults = {ends.total()}: {dict(ends)}")


def test_every_operation_of_a_repair(original: Path, box: Path, say: Say) -> None:
    """What is repaired has no ``stack.json``: until it has one again, every module stays as it is."""
    whole, folder = own(original), box / "stack"

    def damage() -> None:
        shutil.copytree(original, folder)
        (folder / STACK_FILE).unlink()

    damage()
    operations = operations_of(partial(repair, folder))
    assert own(folder) == whole
    shutil.rmtree(folder)
    for moment, operation in enumerate(operations):
        for name, fault in FAULTS.items():
            damage()
            status = faulted(partial(repair, folder), moment, fault)
            assert status in ((KILLED,) if name == "die" else (DONE, REFUSED)), (operation, name, status)
            if not (folder / STACK_FILE).exists():
                repair(folder)
            assert check(folder, whole) == 0
            shutil.rmtree(folder)
    say(f"repair: {len(operations)} file operations x {len(FAULTS)} faults = {len(operations) * len(FAULTS)}")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_operation_of_a_recovery(original: Path, box: Path, command: str, say: Say) -> None:
    """An interrupted command whose recovery is interrupted too."""
    whole, folder, interrupted = (box / name for name in ("whole", "stack", "interrupted"))
    shutil.copytree(original, whole)
    operations = operations_of(partial(COMMANDS[command], whole))
    old, new, count, draw = own(original), own(whole), 0, random.Random(SEED)

    def recover() -> None:
        with folder_lock(folder):
            store.recover(folder)

    for moment in draw.sample(range(len(operations)), 12):
        shutil.copytree(original, folder)
        assert faulted(partial(COMMANDS[command], folder), moment) == KILLED
        folder.rename(interrupted)
        status, later = KILLED, 0
        while status == KILLED:
            shutil.copytree(interrupted, folder)
            status = faulted(recover, later)
            check(folder, old, new)
            shutil.rmtree(folder)
            later += 1
        assert status == DONE
        count += later - 1
        shutil.rmtree(interrupted)
    say(f"{command}: {count} kills of a recovery after 12 kills")


STEPS: dict[int, dict[int, Callable[[Path], object]]] = {
    0: {1: partial(grow, name="b", parents=("a",))},
    1: {2: partial(grow, name="c"), 0: undo},
    2: {3: partial(drop, name="b"), 1: undo},
    3: {4: partial(grow, name="b"), 0: undo},
    4: {3: undo},
}
"""The states of a stack that begins with ``a``, and the commands that lead from each to others."""


def test_killed_at_random_moments(box: Path, say: Say) -> None:
    """Half of them at a file operation, half after a time of the processor; then from what is there to another state.

    After each kill the folder is as before the command or as after it.
    """
    folder, draw = stack(box / "stack", "a"), random.Random(SEED)
    add_users(folder)
    states, sizes = {0: own(folder)}, dict[tuple[int, int], tuple[int, float]]()
    for start, target in pairwise((0, 1, 2, 3, 4, 3, 0, 1, 0, 1, 2, 1, 0)):
        begun = time.process_time()
        operations = operations_of(partial(STEPS[start][target], folder))
        sizes[start, target] = len(operations), time.process_time() - begun
        assert own(folder) == states.setdefault(target, own(folder))
    killed, visits, state = Counter[str](), Counter[int](), 0
    while killed.total() < KILLS:
        target, command = draw.choice(list(STEPS[state].items()))
        number, seconds = sizes[state, target]
        if killed.total() % 2:
            killed["at an operation"] += faulted(partial(command, folder), draw.randrange(number)) == KILLED
        else:
            killed["at a moment"] += killed_after(partial(command, folder), draw.uniform(0, seconds))
        state = (state, target)[check(folder, states[state], states[target])]
        visits[state] += 1
    assert len(visits) == len(STEPS)
    say(f"{killed.total()} kills of commands on a stack, {dict(killed)}")
