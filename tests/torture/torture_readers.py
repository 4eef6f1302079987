"""Every reader of a stack's folder on files that are damaged, edited or made up: one line, never a traceback.

Not in the default tests: ``nox -s torture``. ``TORTURE_EXAMPLES`` sets the number of mutants of each test.
"""

import io
import json
import os
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
from growlm.files import combined_digest, file_digest, folder_lock, read_json, read_metadata, read_tensors
from growlm.manifest import store
from growlm.manifest.card import accuracy_json, stack_card
from growlm.manifest.earlier import decode_difference, encode_difference
from growlm.manifest.html import stack_html
from growlm.manifest.integrity import rebuild, recorded_base, verify_files
from growlm.manifest.manifest import read_manifest
from growlm.manifest.scores import ScoreTables
from growlm.sealed import seal
from growlm.show.tree import stack_tree
from tests.torture.folders import BASE, contents, stack, undo

EXAMPLES = int(os.environ.get("TORTURE_EXAMPLES", "2000"))
SLOW = 10.0  # seconds that no reader may take
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


@st.composite
def mutations(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A change of bytes: a flip, a cut, a repetition, or something put in."""
    where, kind = draw(st.floats(0, 1)), draw(st.sampled_from(["flip", "cut", "twice", "put", "empty", "replace"]))
    more, bit = draw(st.binary(max_size=12)), draw(st.integers(0, 7))

    def mutate(content: bytes) -> bytes:
        at = int(where * max(0, len(content) - 1))
        if kind == "flip" and content:
            return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]
        if kind == "cut":
            return content[:at]
        if kind == "twice":
            return content[:at] + content[at : at + 40] + content[at:]
        if kind == "empty":
            return b""
        return content[:at] + more + content[at + (len(more) if kind == "replace" else 0) :]

    return mutate


def calmly(name: str, read: Callable[[], object]) -> bool:
    """Read; return whether it was refused. Anything but a result or one line fails the test."""
    COUNTS[name] = COUNTS.get(name, 0) + 1
    begun = time.monotonic()
    refused = False
    try:
        read()
    except GrowlmError:
        refused = True
    assert time.monotonic() - begun < SLOW
    return refused


def read_all(folder: Path) -> None:
    """Read a stack as every command does that builds no model."""
    from rich.console import Console

    manifest = read_manifest(folder)
    stack_card(manifest)
    accuracy_json(manifest)
    stack_html(manifest)
    Console(file=io.StringIO()).print(stack_tree(manifest))
    for module in manifest.modules:
        own = folder / manifest.folder_of(module.name)
        read_tensors(own / "module.safetensors")
    read_metadata(folder / "router.safetensors")
    verify_files(folder)


@many
@given(data=st.data())
def test_changed_bytes_of_a_stack(original: Path, data: st.DataObject) -> None:
    whole = contents(original)
    name = data.draw(st.sampled_from(sorted(whole)))
    altered = data.draw(mutations())(whole[name])
    (original / name).write_bytes(altered)
    try:
        refused = calmly("bytes of a stack", lambda: read_all(original))
        assert refused or altered == whole[name]
    finally:
        (original / name).write_bytes(whole[name])


@many
@given(data=st.data())
def test_changed_bytes_under_a_command(original: Path, data: st.DataObject) -> None:
    """Undo and repair either do their work or change nothing."""
    folder = original.parent / "copy"
    shutil.copytree(original, folder)
    try:
        name = data.draw(st.sampled_from(sorted(contents(folder))))
        (folder / name).write_bytes(data.draw(mutations())((folder / name).read_bytes()))
        before = contents(folder)

        def repair() -> None:
            recorded_base(folder)
            with folder_lock(folder):
                rebuild(folder, BASE)

        for work in (lambda: undo(folder), repair):
            if calmly("bytes under undo and repair", work):
                assert contents(folder) == before
            else:
                read_manifest(folder)
                before = contents(folder)
    finally:
        shutil.rmtree(folder)


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def altered(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copied = dict(content) if isinstance(content, dict) else list(content)
    copied[path[0]] = altered(content[path[0]], path[1:], value)
    return copied


@many
@given(data=st.data())
def test_records_edited_by_one_who_knows_the_seals(original: Path, data: st.DataObject) -> None:
    whole = contents(original)
    name = data.draw(st.sampled_from(["stack.json", "modules/00-a/module.json", "modules/02-c/module.json"]))
    content = json.loads(whole[name])
    edited = altered(content, data.draw(st.sampled_from(places(content)[1:])), data.draw(PLAIN))
    try:
        manifest = json.loads(whole["stack.json"])
        if name == "stack.json":
            manifest = edited
        else:
            (original / name).write_text(json.dumps(edited, indent=2, ensure_ascii=False) + "\n", errors="replace")
            manifest["files"][name] = file_digest(original / name)
        manifest.pop("digest", None)
        sealed = json.dumps(seal(manifest), indent=2, ensure_ascii=False) + "\n"
        (original / "stack.json").write_text(sealed, errors="replace")
        calmly("sealed records", lambda: read_all(original))
    except ValueError:
        pass  # what JSON cannot hold is not in a file
    finally:
        for file in (name, "stack.json"):
            (original / file).write_bytes(whole[file])


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
@given(data=st.data())
def test_differences(data: st.DataObject, original: Path) -> None:
    """A difference restores every byte; a damaged one is refused or seen by its digest."""
    old = (original / "router.safetensors").read_bytes()
    new = data.draw(mutations())(old)
    encoded = encode_difference(old, new)
    if encoded is not None:
        assert decode_difference(encoded, new, Path("x")) == old
        damaged = data.draw(mutations())(encoded)
        calmly("differences", lambda: decode_difference(damaged, new, Path("x")))
    combined_digest({"x": "y"})


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
