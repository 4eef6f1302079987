"""Readers of values that are made up, of differences that are damaged, and of files that never end: hypothesis.

Not in the default tests: ``nox -s torture``. ``TORTURE_EXAMPLES`` sets the number of examples of each test.
"""

import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from growlm.bench.run.result import read_cell
from growlm.errors import GrowlmError
from growlm.files import folder_lock, read_json, read_tensors
from growlm.manifest import store
from growlm.manifest.earlier import decode_difference, encode_difference
from growlm.manifest.manifest import read_manifest
from growlm.manifest.scores import ScoreTables
from tests.torture.confinement import SECONDS
from tests.torture.folders import stack
from tests.torture.mutations import mutate_bytes
from tests.torture.torture_stacks import read_all

EXAMPLES = int(os.environ.get("TORTURE_EXAMPLES", "2000"))
many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
COUNTS: dict[str, int] = {}


@pytest.fixture(scope="module", autouse=True)
def _report(request: pytest.FixtureRequest) -> Any:
    yield
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        for name, count in COUNTS.items():
            sys.stdout.write(f"\n{name}: {count} mutants\n")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stack(tmp_path_factory.mktemp("original") / "stack", "a", "b", "c")


def calmly(name: str, read: Callable[[], object]) -> bool:
    """Read; return whether it was refused. Anything but a result or one line fails the test."""
    COUNTS[name] = COUNTS.get(name, 0) + 1
    begun = time.process_time()
    refused = False
    try:
        read()
    except GrowlmError:
        refused = True
    assert time.process_time() - begun < SECONDS
    return refused


@many
@given(content=PLAIN)
def test_scores_made_up(content: Any) -> None:
    calmly("scores", lambda: ScoreTables.from_json(content))
    made = {"format_version": 2, "skills": content, "metrics": content, "modes": {"oracle": content}}
    calmly("scores", lambda: ScoreTables.from_json(made))


@many
@given(content=st.binary(max_size=200))
def test_json_made_up(original: Path, content: bytes) -> None:
    path = original.parent / "made.json"
    path.write_bytes(content)
    calmly("JSON", lambda: read_json(path))
    calmly("results", lambda: read_cell(path))
    calmly("tensors", lambda: read_tensors(path))


@many
@given(seed=st.integers(0, 2**32))
def test_differences(seed: int, original: Path) -> None:
    """A difference restores every byte; a damaged one is refused or seen by its digest."""
    old, rng = (original / "router.safetensors").read_bytes(), random.Random(seed)
    new = mutate_bytes(rng, old)
    encoded = encode_difference(old, new)
    if encoded is not None:
        assert decode_difference(encoded, new, Path("x")) == old
        damaged = mutate_bytes(rng, encoded)
        calmly("differences", lambda: decode_difference(damaged, new, Path("x")))


@pytest.mark.parametrize(
    "name", ["stack.json", "README.md", "modules/00-a/module.json", "modules/00-a/module.safetensors"]
)
def test_what_never_ends_is_not_read(original: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "stack"
    shutil.copytree(original, folder)
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        (folder / name).unlink()
        make(folder / name)
        assert calmly("pipes and devices", lambda: read_all(folder))
        with folder_lock(folder):
            assert calmly("pipes and devices", lambda: store.recover(folder))
    (folder / name).unlink()
    with (folder / name).open("wb") as file:
        file.truncate(1 << 40)  # sparse
    if not name.endswith("safetensors"):
        assert name == "README.md" or calmly("sparse files", lambda: read_manifest(folder))
