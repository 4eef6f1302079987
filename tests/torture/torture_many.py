"""Readers beside a writer, and a stack of many modules. Not in the default tests: ``nox -s torture``."""

import io
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console

from growlm.manifest.integrity import verify_files
from growlm.manifest.manifest import read_manifest
from growlm.modules.lora import Lora
from growlm.show.tree import stack_tree
from growlm.stack.stack import ModuleStack
from growlm.train.fit import fit_phase, new_trainer
from growlm.train.phase import GrowPhase
from tests.torture.folders import contents, drop, grow, stack, undo

SECONDS = float(os.environ.get("TORTURE_SECONDS", "20"))
NUM_MODULES = 100


def test_readers_beside_a_writer(tmp_path: Path, say: Callable[[str], None]) -> None:
    folder = stack(tmp_path / "stack", "a")
    writer = os.fork()
    if writer == 0:
        try:
            while True:
                grow(folder, "b")
                grow(folder, "c")
                drop(folder, "b")
                undo(folder)
        finally:
            os._exit(3)
    seen: dict[tuple[str, ...], int] = {}
    end = time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            names = tuple(module.name for module in read_manifest(folder).modules)
            verify_files(folder)
            seen[names] = seen.get(names, 0) + 1
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
    assert set(seen) <= {("a",), ("a", "b"), ("a", "b", "c"), ("a", "c")}
    assert len(seen) > 1
    say(f"{sum(seen.values())} reads beside a writer, by what was found: {seen}")


def test_a_hundred_modules(tmp_path: Path, say: Callable[[str], None]) -> None:
    folder = stack(tmp_path / "stack", *(f"m{number}" for number in range(NUM_MODULES)))
    whole = contents(folder)
    before = sum(len(content) for name, content in whole.items() if "/before/" in name)
    tensors = sum(len(content) for name, content in whole.items() if name.endswith("module.safetensors"))
    seconds = {}
    for what, read in (("show", read_manifest), ("verify", verify_files)):
        begun = time.process_time()
        read(folder)
        seconds[what] = round(time.process_time() - begun, 2)
    assert before <= tensors
    assert max(seconds.values()) < 5
    say(f"{NUM_MODULES} modules: {seconds} s, before/ {before:,} bytes, tensors {tensors:,} bytes")


def seconds(work: Callable[[], object]) -> float:
    """Return the processor's seconds that something takes."""
    begun = time.process_time()
    work()
    return round(time.process_time() - begun, 2)


def costs(folder: Path) -> dict[str, float]:
    """Measure what a stack on nano costs in its present size; it is as it was afterwards."""
    loaded: list[ModuleStack] = []
    ids = torch.tensor([[1, 2, 3]])
    options = {"name": "last", "parents": "none", "rescore": False, "num_scored": 2, "metric": "loss"}
    phase = GrowPhase("chat", stack=folder, batch_size=2, router="none", **options)
    found = {
        "load": seconds(lambda: loaded.append(ModuleStack.from_pretrained(folder))),
        "show": seconds(lambda: Console(file=io.StringIO()).print(stack_tree(read_manifest(folder)))),
        "verify files": seconds(lambda: verify_files(folder)),
        "generate": seconds(lambda: loaded[0].generate(ids, max_new_tokens=20, do_sample=False)),
        "grow": seconds(lambda: fit_phase(phase, new_trainer(max_steps=1, precision="32-true", accelerator="cpu"))),
        "undo": seconds(lambda: undo(folder)),
    }
    found["verify"] = found["load"] + found["verify files"]
    return found


def test_a_hundred_modules_on_nano(tmp_path: Path, say: Callable[[str], None]) -> None:
    """Each cost grows no faster than the stack; the modules are untrained, which changes no cost."""
    folder, made = tmp_path / "stack", ModuleStack.from_base("nano").eval()
    found: dict[int, dict[str, float]] = {}
    for number in range(1, NUM_MODULES + 1):
        made.attach(f"m{number}", {"lora": Lora(rank=8)}, (), seed=number)
        made.freeze(f"m{number}")
        if number in (NUM_MODULES // 4, NUM_MODULES):
            made.set_path(())
            made.save_pretrained(folder)
            found[number] = costs(folder)
            say(f"{number} modules on nano, seconds of a processor: {found[number]}")
    few, many = found.values()
    files = [path for path in folder.rglob("*") if path.is_file()]
    tensors = sum(path.stat().st_size for path in files if path.name == "module.safetensors")
    before = sum(path.stat().st_size for path in files if path.parent.name == "before")
    say(f"before/ {before:,} bytes, tensors {tensors:,} bytes")
    assert many["load"] <= 5
    assert many["verify"] <= 5
    assert before <= tensors
    assert not [what for what in few if many[what] > 5 * few[what] + 1]
