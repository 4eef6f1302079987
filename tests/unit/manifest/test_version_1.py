"""Stacks of growlm 0.1.0: they load, undo and verify as they are, and the first change lists their files."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save, save_file

from growlm.errors import GrowlmError
from growlm.files import folder_lock
from growlm.manifest import store
from growlm.manifest.integrity import rebuild, recorded_base, verify_files
from growlm.manifest.manifest import Manifest, module_json, read_manifest, read_stack_file, version_1_json
from tests.torture.folders import (
    BASE,
    COMMANDS,
    add_users,
    config_of,
    contents,
    files_of,
    method_tensors_of,
    own,
    record,
    stack,
    tensors_of,
    undo,
)


def top(manifest: Manifest) -> dict[str, bytes]:
    files = {name: content for name, content in files_of(manifest).items() if manifest.modules}
    rendered = {
        name: content.encode() if isinstance(content, str) else save(dict(content.tensors), content.metadata)
        for name, content in files.items()
    }
    return {
        **rendered,
        "config.json": config_of(manifest).to_json_string().encode(),
        "stack.json": version_1_json(manifest).encode(),
    }


def write(folder: Path, *names: str) -> Path:
    """Write what growlm 0.1.0 wrote, users' files that it copied included."""
    manifest = Manifest(BASE)
    for name in names:
        grown = replace(manifest, modules=(*manifest.modules, record(name)))
        module = folder / grown.folder_of(name)
        (module / "before").mkdir(parents=True)
        for file, content in {**top(manifest), "notes.txt": b"mine"}.items():
            (module / "before" / file).write_bytes(content)
        save_file(tensors_of(name), module / "module.safetensors")
        if method_tensors_of(name):
            save_file(method_tensors_of(name), module / "method.safetensors")
        (module / "module.json").write_text(module_json(grown.modules[-1]))
        manifest = grown
    for file, content in top(manifest).items():
        (folder / file).write_bytes(content)
    (folder / "notes.txt").write_bytes(b"mine")
    return folder


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write(tmp_path / "old", "a", "b", "c")


def test_it_is_read_as_it_is(old: Path) -> None:
    before = contents(old)
    assert json.loads((old / "stack.json").read_text())["format_version"] == 1
    assert [module.name for module in read_manifest(old).modules] == ["a", "b", "c"]
    assert not verify_files(old).complete
    assert contents(old) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_the_first_change_makes_it_version_2(old: Path, tmp_path: Path, command: str) -> None:
    COMMANDS[command](old)
    assert read_stack_file(old).version == 2
    assert verify_files(old).complete
    new = stack(tmp_path / "new", "a", "b", "c")
    COMMANDS[command](new)
    assert read_manifest(old) == read_manifest(new)
    assert (old / "notes.txt").read_bytes() == b"mine"
    while read_manifest(new).modules:
        undo(old)
        undo(new)
        for name in ("config.json", "router.safetensors", "README.md", "accuracy.json"):
            assert (old / name).exists() == (new / name).exists()
            assert not (new / name).exists() or (old / name).read_bytes() == (new / name).read_bytes()


@pytest.mark.parametrize("edit", [lambda path: path.unlink(), lambda path: path.write_text("{}")])
def test_undo_checks_before_it_writes(old: Path, edit: Callable[[Path], object]) -> None:
    edit(old / "modules/02-c/before/stack.json")
    before = contents(old)
    with pytest.raises(GrowlmError, match=r"'c' cannot be undone: .*before/stack\.json is missing or was edited"):
        undo(old)
    with pytest.raises(GrowlmError, match="is missing or was edited"):
        verify_files(old)
    assert contents(old) == before


def test_an_interrupted_commit_is_taken_back(old: Path, tmp_path: Path) -> None:
    """Version 0.1.0 had moved the module's folder to its place and begun to write the top."""
    expected = read_manifest(write(tmp_path / "two", "a", "b"))
    (old / "stack.json").write_bytes((old / "modules/02-c/before/stack.json").read_bytes())
    (old / ".router.safetensors.123.tmp").write_bytes(b"half")
    (old / "modules/.03-x.tmp").mkdir()
    with folder_lock(old):
        store.recover(old)
    assert read_manifest(old) == expected
    assert contents(old / "modules/02-c") == {"before/notes.txt": b"mine"}
    assert not (old / ".router.safetensors.123.tmp").exists()
    assert not (old / "modules/.03-x.tmp").exists()
    assert (old / "router.safetensors").read_bytes() == (tmp_path / "two/router.safetensors").read_bytes()


def test_an_interrupted_drop_is_finished(old: Path) -> None:
    manifest = read_manifest(old)
    dropped = replace(manifest, modules=(manifest.modules[0], manifest.modules[2]))
    new = old / "modules/01-c"
    new.mkdir()
    for name in ("module.json", "module.safetensors", "method.safetensors"):
        (new / name).write_bytes((old / "modules/02-c" / name).read_bytes())
    (new / "before").mkdir()
    (old / ".drop").mkdir()
    for folder, state in ((new / "before", replace(manifest, modules=manifest.modules[:1])), (old / ".drop", dropped)):
        for name, content in top(state).items():
            (folder / name).write_bytes(content)
    with folder_lock(old):
        store.recover(old)
    assert read_manifest(old) == dropped
    assert not (old / ".drop").exists()
    undo(old)
    assert [module.name for module in read_manifest(old).modules] == ["a"]


def test_it_can_be_repaired(old: Path) -> None:
    expected = read_manifest(old)
    (old / "stack.json").unlink()
    add_users(old)
    assert recorded_base(old)["digest"] == BASE.digest
    with folder_lock(old):
        assert rebuild(old, BASE) == expected
    assert verify_files(old).complete
    assert "notes.txt" not in own(old)
