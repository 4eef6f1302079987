"""Readers beside a writer, and a stack of many modules. Not in the default tests: ``nox -s torture``."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from growlm.manifest.integrity import verify_files
from growlm.manifest.manifest import read_manifest
from tests.torture.folders import contents, drop, grow, stack, undo

SECONDS = float(os.environ.get("TORTURE_SECONDS", "20"))
NUM_MODULES = 100


def test_readers_beside_a_writer(tmp_path: Path, capfd: Any) -> None:
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
    with capfd.disabled():
        sys.stdout.write(f"\n{sum(seen.values())} reads beside a writer, by what was found: {seen}\n")


def test_a_hundred_modules(tmp_path: Path, capfd: Any) -> None:
    folder = stack(tmp_path / "stack", *(f"m{number}" for number in range(NUM_MODULES)))
    whole = contents(folder)
    before = sum(len(content) for name, content in whole.items() if "/before/" in name)
    tensors = sum(len(content) for name, content in whole.items() if name.endswith("module.safetensors"))
    seconds = {}
    for what, read in (("show", read_manifest), ("verify", verify_files)):
        begun = time.monotonic()
        read(folder)
        seconds[what] = round(time.monotonic() - begun, 2)
    assert before <= tensors
    assert max(seconds.values()) < 5
    with capfd.disabled():
        sys.stdout.write(f"\n{NUM_MODULES} modules: {seconds} s, before/ {before:,} bytes, tensors {tensors:,} bytes\n")
