"""What readers of mutants share: a folder that is all they may touch, and a count that scales."""

import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.torture.confinement import read_mutants, sandbox

SCALE = float(os.environ.get("TORTURE_MUTANTS", "0.01"))
SEED = int(os.environ.get("TORTURE_SEED", "0"))
Read = Callable[[random.Random], object]
Run = Callable[[str, int, Read], None]


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The only folder that a reader may touch."""
    with sandbox() as folder:
        monkeypatch.setenv("GROWLM_STATE", str(folder / "state"))
        yield folder


@pytest.fixture
def say(capfd: Any) -> Callable[[str], None]:
    """Print a line past pytest: the counts are what a run is for."""

    def say(line: str) -> None:
        with capfd.disabled():
            sys.stdout.write(f"\n{line}\n")

    return say


@pytest.fixture
def run(box: Path, say: Callable[[str], None]) -> Run:
    """``run(name, count, read)`` reads mutants; ``TORTURE_MUTANTS`` 1 makes it ``count`` of them."""

    def run(name: str, count: int, read: Read) -> None:
        say(read_mutants(name, max(3, round(count * SCALE)), box, read, SEED))

    return run
