"""Whole phases on a small random base: killed, interrupted, without disk, beside each other, twenty in a row.

Not in the default tests: ``nox -s torture``. Counts are printed.
"""

import json
import os
import random
import resource
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.files import folder_lock, tensor_digests
from growlm.manifest import store
from growlm.manifest.integrity import verify_files
from growlm.manifest.manifest import STACK_FILE, read_manifest
from growlm.stack.stack import ModuleStack
from growlm.train.fit import fit_phase, new_trainer
from growlm.train.phase import GrowPhase
from tests.torture.faults import (
    DONE,
    FAULTS,
    INTERRUPTED,
    KILLED,
    REFUSED,
    begin,
    end,
    faulted,
    killed_after,
    operations_of,
    run_apart,
)
from tests.torture.folders import USERS, add_users, contents

SCALE = float(os.environ.get("TORTURE_SCALE", "1"))
KILLS = round(200 * SCALE)
SEED = int(os.environ.get("TORTURE_SEED", "0"))
STEPS = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rows = [{"prompt": f"Tom has {n} dogs and", "completion": f" {n} cats"} for n in range(24)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "stories.txt").write_text("<|endoftext|>".join(f"the cat sat on {n} red boxes" for n in range(60)))
    return folder


Grow = Callable[..., None]
Say = Callable[[str], None]


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


@pytest.fixture(autouse=True)
def _state(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    monkeypatch.setenv("GROWLM_STATE", str(data / "state"))


def own(folder: Path) -> dict[str, bytes]:
    """What a phase's result is: records without times and versions of libraries, tensors and the router."""
    found = {name: content for name, content in contents(folder).items() if name.endswith(".safetensors")}
    return {name: content for name, content in found.items() if not name.startswith(".work")}


def check(folder: Path, old: dict[str, bytes], new: dict[str, bytes]) -> str:
    """Check a folder after an interruption; return which state it is in."""
    names = [module.name for module in read_manifest(folder).modules]
    verify_files(folder)
    with folder_lock(folder):
        store.recover(folder)
    assert [module.name for module in read_manifest(folder).modules] == names
    state = "new" if "b" in names else "old"
    assert own(folder) == {"old": old, "new": new}[state]
    assert {name: (folder / name).read_bytes() for name in USERS} == USERS
    return state


def test_every_file_operation_of_a_phase(original: Path, grow: Grow, tmp_path: Path, say: Say) -> None:
    whole, folder = shutil.copytree(original, tmp_path / "whole"), tmp_path / "stack"
    operations = operations_of(partial(grow, whole, "b"))
    old, new = own(original), own(whole)
    ends, resumed = Counter[str](), 0
    for moment in range(0, len(operations), max(1, round(1 / SCALE))):
        for name, fault in FAULTS.items():
            shutil.copytree(original, folder)
            status = faulted(partial(grow, folder, "b"), moment, fault)
            assert status in ((KILLED,) if name == "die" else (DONE, REFUSED)), (operations[moment], name, status)
            state = check(folder, old, new)
            ends[state] += 1
            if name == "die" and state == "old":
                assert run_apart(partial(grow, folder, "b")) == DONE
                assert own(folder) == new  # to the bit what was never interrupted
                resumed += 1
            shutil.rmtree(folder)
    assert set(ends) == {"old", "new"}
    say(f"phase: {len(operations)} file operations, {ends.total()} faults: {dict(ends)}; {resumed} resumed alike")


def test_killed_phases(original: Path, grow: Grow, tmp_path: Path, say: Say) -> None:
    """Killed at random moments, again and again, until one comes through."""
    whole, folder = shutil.copytree(original, tmp_path / "whole"), tmp_path / "stack"
    begun = time.process_time()
    grow(whole, "b")
    seconds, draw = time.process_time() - begun, random.Random(SEED)
    old, new = own(original), own(whole)
    killed = finished = 0
    shutil.copytree(original, folder)
    while killed < KILLS:
        killed += killed_after(partial(grow, folder, "b"), draw.uniform(0, 1.2 * seconds))
        if check(folder, old, new) == "new":
            finished += 1
            shutil.rmtree(folder)
            shutil.copytree(original, folder)
    say(f"{killed} kills of phases at random moments, {finished} phases came through, all of the same bits")


def test_a_full_disk(original: Path, grow: Grow, tmp_path: Path, say: Say) -> None:
    """No file may become larger than a limit: writes of the libraries fail, too."""
    old, folder = own(original), tmp_path / "stack"
    ends: dict[int, int] = {}

    def limited(limit: int) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        grow(folder, "b")

    for limit in (0, 100, 1_000, 3_000, 6_000, 10_000, 20_000, 40_000, 80_000):
        shutil.copytree(original, folder)
        ends[limit] = run_apart(partial(limited, limit))
        verify_files(folder)
        assert {name: (folder / name).read_bytes() for name in USERS} == USERS
        if ends[limit] == REFUSED:
            with folder_lock(folder):
                store.recover(folder)
            assert own(folder) == old
        shutil.rmtree(folder)
    assert set(ends.values()) == {DONE, REFUSED}
    say(f"exit statuses by the greatest number of bytes of a file: {ends}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals(original: Path, grow: Grow, tmp_path: Path, number: int, say: Say) -> None:
    """A signal at any moment: the step is saved, or nothing has begun; the same command ends with the same bits."""
    whole, folder = shutil.copytree(original, tmp_path / "whole"), tmp_path / "stack"
    begun = time.monotonic()
    assert run_apart(partial(grow, whole, "b", steps=12)) == DONE
    seconds, draw, ends = time.monotonic() - begun, random.Random(SEED), Counter[int]()
    old, new = own(original), own(whole)
    for _ in range(max(3, round(12 * SCALE))):
        shutil.copytree(original, folder)
        process = begin(partial(grow, folder, "b", steps=12))
        time.sleep(draw.uniform(0.2, 1.0) * seconds)
        os.kill(process, number)
        ends[end(process)] += 1
        check(folder, old, new)
        assert run_apart(partial(grow, folder, "b", steps=12)) == DONE
        assert own(folder) == new
        shutil.rmtree(folder)
    assert set(ends) <= {DONE, INTERRUPTED, -number}
    say(f"{signal.Signals(number).name}: exit statuses {dict(ends)}")


def test_two_writers(original: Path, grow: Grow, tmp_path: Path, say: Say) -> None:
    """Two phases at once on one stack: one of them has it, the other says so, and nothing is mixed."""
    ends, folder = Counter[tuple[int, ...]](), tmp_path / "stack"
    for _ in range(max(3, round(15 * SCALE))):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(original, folder)
        processes = [begin(partial(grow, folder, name)) for name in ("b", "c")]
        status = tuple(map(end, processes))
        assert set(status) <= {DONE, REFUSED}
        assert DONE in status
        verify_files(folder)
        grown = [module.name for module in read_manifest(folder).modules][1:]
        assert sorted(grown) == [name for name, code in zip(("b", "c"), status, strict=True) if code == DONE]
        ends[status] += 1
    say(f"pairs of writers by exit statuses: {dict(ends)}")


def test_saving_beside_a_writer(original: Path, tmp_path: Path) -> None:
    stack = ModuleStack.from_pretrained(original)
    with folder_lock(tmp_path / "copy"), pytest.raises(GrowlmError, match="is in use by"):
        stack.save_pretrained(tmp_path / "copy")
    stack.save_pretrained(tmp_path / "copy")
    assert (tmp_path / "copy" / STACK_FILE).read_bytes() == (original / STACK_FILE).read_bytes()


def test_twenty_phases(grow: Grow, tmp_path: Path, say: Say) -> None:
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
    say(f"20 phases: {len(tensors)} tensors and {compared} logits of older paths, all bit-identical")
