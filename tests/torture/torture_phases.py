"""Whole phases on a small random base: killed, interrupted, without disk, beside each other, twenty in a row.

Not in the default tests: ``nox -s torture``. Counts are printed.
"""

import functools
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from growlm.errors import GrowlmError, outside_error
from growlm.files import folder_lock, tensor_digests
from growlm.manifest import store
from growlm.manifest.integrity import verify_files
from growlm.manifest.manifest import STACK_FILE, read_manifest
from growlm.stack.stack import ModuleStack
from growlm.train.fit import fit_phase, new_trainer
from growlm.train.phase import GrowPhase
from tests.torture.folders import USERS, add_users, contents
from tests.torture.torture_faults import FAULTS, injected

SCALE = float(os.environ.get("TORTURE_SCALE", "1"))
KILLS = round(200 * SCALE)
STEPS = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rows = [{"prompt": f"Tom has {n} dogs and", "completion": f" {n} cats"} for n in range(24)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "stories.txt").write_text("<|endoftext|>".join(f"the cat sat on {n} red boxes" for n in range(60)))
    return folder


Grow = Callable[..., None]


@pytest.fixture(scope="module")
def grow(data: Path, tiny_bases: dict[str, Path]) -> Grow:
    """One phase of three steps whose state is saved after each; the same command finishes an interrupted one."""
    os.environ["GROWLM_STATE"] = str(data / "state")

    def grow(folder: Path, name: str, steps: int = STEPS, **options: Any) -> None:
        given = {"parents": "none", "router": "ridge", "rescore": False, "num_scored": 1, "metric": "loss", **options}
        phase = GrowPhase(
            str(data / "rows.jsonl"),
            name=name,
            stack=folder,
            base=str(tiny_bases["llama"]),
            batch_size=2,
            checkpoint_every=1,
            stories=str(data / "stories.txt"),
            method_options={"module": {"lora": {"rank": 1, "target_modules": ["q_proj"]}}},
            **given,
        )
        fit_phase(phase, new_trainer(max_steps=steps, precision="32-true", accelerator="cpu"))

    return grow


@pytest.fixture(scope="module")
def original(grow: Grow, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original") / "stack"
    grow(folder, "a")
    add_users(folder)
    return folder


def own(folder: Path) -> dict[str, bytes]:
    """What a phase's result is: records without times and versions of libraries, tensors and the router."""
    found = {name: content for name, content in contents(folder).items() if name.endswith(".safetensors")}
    return {name: content for name, content in found.items() if not name.startswith(".work")}


def child(work: Callable[[], None]) -> int:
    """Run something in a process of its own: 0 it ended, 2 it was refused in one line, 130 it was interrupted."""
    number = os.fork()
    if number == 0:
        status = 3
        try:
            with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
                os.dup2(nowhere.fileno(), 2)
                work()
            status = 0
        except KeyboardInterrupt:
            status = 130
        except BaseException as error:
            line = isinstance(error, GrowlmError) or outside_error(error) is not None
            status = 2 if line else 3
            if not line:
                import traceback

                Path(os.environ["TORTURE_LOG"]).write_text(traceback.format_exc(), encoding="utf-8")
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Path) -> Path:
    monkeypatch.setenv("TORTURE_LOG", str(tmp_path / "traceback.txt"))
    monkeypatch.setenv("GROWLM_STATE", str(data / "state"))
    return tmp_path / "traceback.txt"


def check(folder: Path, old: dict[str, bytes], new: dict[str, bytes]) -> str:
    """Check a folder after an interruption; return which state it is in."""
    names = [module.name for module in read_manifest(folder).modules]
    verify_files(folder)
    with folder_lock(folder):
        store.recover(folder)
    assert [module.name for module in read_manifest(folder).modules] == names
    assert own(folder) in (old, new)
    assert {name: (folder / name).read_bytes() for name in USERS} == USERS
    return "new" if "b" in names else "old"


def say(capfd: Any, line: str) -> None:
    with capfd.disabled():
        sys.stdout.write(f"\n{line}\n")


def test_every_file_operation_of_a_phase(original: Path, grow: Grow, tmp_path: Path, capfd: Any, log: Path) -> None:
    old, whole, folder = own(original), tmp_path / "whole", tmp_path / "stack"
    shutil.copytree(original, whole)
    with injected(-1, FAULTS["die"]) as operations:
        grow(whole, "b")
    new = own(whole)
    ends, resumed, count = {"old": 0, "new": 0}, 0, 0
    step = max(1, round(1 / SCALE))
    for moment in range(0, len(operations), step):
        for name, fault in FAULTS.items():
            shutil.copytree(original, folder)

            def run(fault: Callable[[], None] = fault, moment: int = moment) -> None:
                with injected(moment, fault):
                    grow(folder, "b")

            status = child(run)
            assert status in ((-signal.SIGKILL,) if name == "die" else (0, 2)), (
                operations[moment],
                name,
                status,
                log.read_text() if log.exists() else "",
            )
            state = check(folder, old, new)
            ends[state] += 1
            count += 1
            if name == "die" and state == "old":
                grow(folder, "b")
                assert own(folder) == new  # to the bit what was never interrupted
                resumed += 1
            shutil.rmtree(folder)
    assert min(ends.values()) > 0
    say(capfd, f"phase: {len(operations)} file operations, {count} faults: {ends}; {resumed} killed ones ended alike")


def test_killed_phases(original: Path, grow: Grow, tmp_path: Path, capfd: Any) -> None:
    """Killed at random moments, again and again, until one comes through."""
    old, whole, folder = own(original), tmp_path / "whole", tmp_path / "stack"
    shutil.copytree(original, whole)
    begun = time.monotonic()
    grow(whole, "b")
    seconds, new, draw = time.monotonic() - begun, own(whole), random.Random(1)
    killed = finished = 0
    shutil.copytree(original, folder)
    while killed < KILLS:
        number = os.fork()
        if number == 0:
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                grow(folder, "b")
            finally:
                os._exit(0)
        time.sleep(draw.uniform(0, 1.2 * seconds))
        os.kill(number, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) == -signal.SIGKILL
        if check(folder, old, new) == "new":
            assert own(folder) == new
            finished += 1
            shutil.rmtree(folder)
            shutil.copytree(original, folder)
    say(capfd, f"{killed} kills of phases at random moments, {finished} phases came through, all of the same bits")


def test_a_full_disk(original: Path, grow: Grow, tmp_path: Path, capfd: Any, log: Path) -> None:
    """No file may become larger than a limit: writes of the libraries fail, too."""
    old, folder = own(original), tmp_path / "stack"
    limits = [0, 100, 1_000, 3_000, 6_000, 10_000, 20_000, 40_000, 80_000]
    ends: dict[int, str] = {}
    for limit in limits:
        shutil.copytree(original, folder)

        def run(limit: int = limit) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            grow(folder, "b")

        status = child(run)
        assert status in (0, 2), (limit, status, log.read_text() if log.exists() else "")
        ends[limit] = "new" if status == 0 else "refused"
        verify_files(folder)
        assert {name: (folder / name).read_bytes() for name in USERS} == USERS
        if status == 2:
            with folder_lock(folder):
                store.recover(folder)
            assert own(folder) == old
        shutil.rmtree(folder)
    assert set(ends.values()) == {"new", "refused"}
    say(capfd, f"files of a limited number of bytes: {ends}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals(original: Path, grow: Grow, tmp_path: Path, number: int, capfd: Any) -> None:
    """A signal at any moment: the step is saved, or nothing has begun; the same command ends with the same bits."""
    old, whole, folder = own(original), tmp_path / "whole", tmp_path / "stack"
    shutil.copytree(original, whole)
    begun = time.monotonic()
    grow(whole, "b", steps=12)
    seconds, new, draw, ends = time.monotonic() - begun, own(whole), random.Random(2), dict[int, int]()
    for _ in range(max(3, round(12 * SCALE))):
        shutil.copytree(original, folder)
        process = os.fork()
        if process == 0:
            os._exit(child(lambda: _grow_with_default_signals(grow, folder)))
        time.sleep(draw.uniform(0.2, 1.0) * seconds)
        os.kill(_child_of(process), number)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        ends[status] = ends.get(status, 0) + 1
        check(folder, old, new)
        grow(folder, "b", steps=12)
        assert own(folder) == new
        shutil.rmtree(folder)
    assert 3 not in ends
    say(capfd, f"{signal.Signals(number).name}: exit statuses {ends}")


def _grow_with_default_signals(grow: Grow, folder: Path) -> None:
    grow(folder, "b", steps=12)


def _child_of(process: int) -> int:
    path = Path(f"/proc/{process}/task/{process}/children")
    while not (children := path.read_text(encoding="utf-8").split()):
        time.sleep(0.01)
    return int(children[0])


def test_two_writers(original: Path, grow: Grow, tmp_path: Path, capfd: Any) -> None:
    """Two phases at once on one stack: one of them has it, the other says so, and nothing is mixed."""
    ends: dict[tuple[int, ...], int] = {}
    folder = tmp_path / "stack"
    for _ in range(max(3, round(15 * SCALE))):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(original, folder)
        processes = []
        for name in ("b", "c"):
            number = os.fork()
            if number == 0:
                os._exit(child(functools.partial(grow, folder, name)))
            processes.append(number)
        status = tuple(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) for number in processes)
        assert set(status) <= {0, 2}
        assert 0 in status
        verify_files(folder)
        grown = [module.name for module in read_manifest(folder).modules][1:]
        assert sorted(grown) == [name for name, code in zip(("b", "c"), status, strict=True) if code == 0]
        ends[status] = ends.get(status, 0) + 1
    say(capfd, f"pairs of writers by exit statuses: {ends}")


def test_saving_beside_a_writer(original: Path, tmp_path: Path) -> None:
    stack = ModuleStack.from_pretrained(original)
    with folder_lock(tmp_path / "copy"), pytest.raises(GrowlmError, match="is in use by"):
        stack.save_pretrained(tmp_path / "copy")
    stack.save_pretrained(tmp_path / "copy")
    assert (tmp_path / "copy" / STACK_FILE).read_bytes() == (original / STACK_FILE).read_bytes()


def test_twenty_phases(grow: Grow, tmp_path: Path, capfd: Any) -> None:
    """After every phase every older tensor is the same, and so are the logits of every older path."""
    folder, ids = tmp_path / "stack", torch.tensor([[0, 5, 17, 101, 7, 250]])
    tensors: dict[str, str] = {}
    logits: dict[tuple[str, ...], torch.Tensor] = {}
    compared = 0
    for number in range(20):
        grow(folder, f"m{number}", steps=2, parents="all" if number % 3 else "none", seed=number)
        stack = ModuleStack.from_pretrained(folder)
        found = tensor_digests(stack.frozen_tensors())
        assert {name: found[name] for name in tensors} == tensors
        tensors = found
        paths = [(), *(record.path for record in stack.manifest.modules)]
        for path in paths:
            with stack.active(*path), torch.no_grad():
                said = stack(ids).logits
            if path in logits:
                assert torch.equal(said, logits[path]), (number, path)
                compared += 1
            logits[path] = said
    assert len(tensors) > 20
    say(capfd, f"20 phases: {len(tensors)} tensors and {compared} logits of older paths, all bit-identical")
