"""A stack's folder: only growlm's own files are touched, and undo restores every byte."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from growlm.errors import GrowlmError
from growlm.files import folder_lock
from growlm.manifest import store
from growlm.manifest.integrity import rebuild, recorded_base, verify_files
from growlm.manifest.manifest import read_manifest, read_stack_file
from tests.torture.folders import BASE, COMMANDS, USERS, add_users, contents, grow, own, stack, undo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return stack(tmp_path / "stack", "a", "b", "c")


def names(folder: Path) -> list[str]:
    return [module.name for module in read_manifest(folder).modules]


def test_undo_restores_every_byte(tmp_path: Path) -> None:
    folder, states = tmp_path / "stack", []
    for name in "abc":
        grow(folder, name)
        states.append(contents(folder))
    for expected in reversed(states[:-1]):
        undo(folder)
        assert contents(folder) == expected
        verify_files(folder)
    undo(folder)
    assert sorted(contents(folder)) == ["config.json", "stack.json"]
    with pytest.raises(GrowlmError, match="no module to undo"):
        undo(folder)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_users_files_stay(folder: Path, command: str) -> None:
    add_users(folder)
    COMMANDS[command](folder)
    for name, content in USERS.items():
        assert (folder / name).read_bytes() == content
    assert not any("notes" in name or "w.gguf" in name for name in set(contents(folder)) - set(USERS))
    assert verify_files(folder).num_files == len(own(folder))


def test_the_users_files_in_a_modules_folder_stay(folder: Path) -> None:
    mine = folder / "modules/02-c/.DS_Store"
    mine.write_bytes(b"finder")
    undo(folder)
    assert [path.name for path in mine.parent.iterdir()] == [".DS_Store"]
    grow(folder, "c")
    assert mine.read_bytes() == b"finder"
    assert names(folder) == ["a", "b", "c"]


def test_a_card_of_the_users_own_stays(folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text("my words")
    with pytest.raises(GrowlmError, match=r"README\.md is missing or was edited"):
        verify_files(folder)
    for command in COMMANDS.values():
        command(folder)
        assert (folder / "README.md").read_text() == "my words"
        verify_files(folder)
    new = tmp_path / "new"
    new.mkdir()
    (new / "README.md").write_text("my words")
    undo(stack(new, "a"))
    assert (new / "README.md").read_text() == "my words"


@pytest.mark.parametrize("name", ["config.json", "router.safetensors"])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(GrowlmError, match=rf"{name} is in the way, and growlm did not write it"):
        grow(tmp_path, "a")
    assert contents(tmp_path) == {name: b"{}"}


def test_a_file_in_the_place_of_a_new_one_is_refused(folder: Path) -> None:
    (folder / "modules/03-d").mkdir()
    (folder / "modules/03-d/module.json").write_text("mine")
    before = contents(folder)
    with pytest.raises(GrowlmError, match=r"03-d/module\.json is in the way"):
        grow(folder, "d")
    assert contents(folder) == before


def make_link(path: Path) -> None:
    path.symlink_to(path.parents[1] / "elsewhere")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("make", [make_link, os.mkfifo], ids=["link", "pipe"])
@pytest.mark.parametrize("place", ["notes", "modules/notes", "modules/02-c/before/notes", ".lock", ".staged"])
def test_links_and_pipes_are_refused(
    folder: Path, tmp_path: Path, command: str, make: Callable[[Path], None], place: str
) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "file").write_text("kept")
    make(folder / place)
    before = own(folder)
    with pytest.raises(GrowlmError, match=r"is a (symbolic link|named pipe)|is in the way"):
        COMMANDS[command](folder)
    assert own(folder) == before
    assert contents(outside) == {"file": b"kept"}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_linked_folder_of_modules_is_refused(folder: Path, tmp_path: Path, command: str) -> None:
    (folder / "modules").rename(tmp_path / "elsewhere")
    (folder / "modules").symlink_to(tmp_path / "elsewhere")
    before = contents(tmp_path / "elsewhere")
    with pytest.raises(GrowlmError, match="modules is a symbolic link"):
        COMMANDS[command](folder)
    assert contents(tmp_path / "elsewhere") == before


@pytest.mark.parametrize("command", COMMANDS)
def test_modules_without_a_manifest_are_kept_and_can_be_repaired(folder: Path, command: str) -> None:
    whole = contents(folder)
    (folder / "stack.json").unlink()
    for _ in range(2):
        with pytest.raises(GrowlmError, match=r"stack\.json is missing, but there are modules: .*growlm repair"):
            COMMANDS[command](folder)
    assert recorded_base(folder)["digest"] == BASE.digest
    with folder_lock(folder):
        rebuild(folder, BASE)
    assert contents(folder) == whole


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("modules/01-b/module.safetensors", "tensor 'lora"),
        ("modules/01-b/module.json", r"module\.json"),
        ("modules/02-c/method.safetensors", "tensor 'seen'"),
    ],
)
def test_a_damaged_module_is_not_repaired(folder: Path, name: str, said: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-3] ^= 1
    (folder / name).write_bytes(content)
    before = contents(folder)
    with folder_lock(folder), pytest.raises(GrowlmError, match=said):
        rebuild(folder, BASE)
    assert contents(folder) == before


def test_an_edited_record_is_not_repaired(folder: Path) -> None:
    path = folder / "modules/01-b/module.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed":  0'))
    before = contents(folder)
    with folder_lock(folder), pytest.raises(GrowlmError, match=r"01-b/module\.json was edited or damaged"):
        rebuild(folder, BASE)
    assert contents(folder) == before


def test_a_module_that_is_missing_is_not_repaired(folder: Path) -> None:
    shutil.rmtree(folder / "modules/01-b")
    with folder_lock(folder), pytest.raises(GrowlmError, match="02-c is not module 1 of the stack"):
        rebuild(folder, BASE)


def test_every_flipped_bit_is_found_and_stops_undo(folder: Path) -> None:
    whole = contents(folder)
    for name, content in whole.items():
        for position in range(0, len(content), max(1, len(content) // 5)):
            altered = bytearray(content)
            altered[position] ^= 1 << position % 8
            (folder / name).write_bytes(altered)
            with pytest.raises(GrowlmError):
                verify_files(folder)
            if name.startswith("modules/02-c/before") or name in ("config.json", "router.safetensors", "stack.json"):
                with pytest.raises(GrowlmError):
                    undo(folder)
                assert contents(folder) == {**whole, name: bytes(altered)}
        (folder / name).write_bytes(content)
    assert verify_files(folder).num_files == len(whole)


def test_a_missing_file_is_found(folder: Path) -> None:
    for name in contents(folder):
        (folder / name).rename(folder / "hidden")
        with pytest.raises(GrowlmError):
            verify_files(folder)
        (folder / "hidden").rename(folder / name)


def test_a_folder_changed_meanwhile_is_not_overwritten(folder: Path) -> None:
    manifest = read_manifest(folder)
    undo(folder)
    with pytest.raises(GrowlmError, match="changed by another command"):
        store.commit(folder, manifest.__class__(manifest.base, (*manifest.modules, manifest.modules[0])), None, {}, {})  # type: ignore[arg-type]
    assert read_stack_file(folder).manifest.modules == manifest.modules[:-1]


def test_before_holds_only_what_changed(tmp_path: Path) -> None:
    folder = stack(tmp_path / "stack", *(f"m{number}" for number in range(12)))
    sizes = [sum(map(len, map(Path.read_bytes, path.glob("*")))) for path in sorted(folder.glob("modules/*/before"))]
    assert sizes[-1] < sizes[1] + 11 * 60  # a router of 12 modules is not copied
    assert {path.name for path in folder.glob("modules/*/before/*")} == {"state.json", "router.safetensors.delta"}


def test_every_new_entry_is_synced_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever appears in the stack's folder lasts: its folder is synced after it came there."""
    synced: dict[str, int] = {}
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced[Path(f"/proc/self/fd/{descriptor}").readlink().as_posix()] = len(synced)
        real(descriptor)

    folder = tmp_path / "stack"
    stack(folder, "a")
    monkeypatch.setattr(os, "fsync", fsync)
    grow(folder, "b")
    new = folder / "modules" / "01-b"
    for place in (folder, folder / "modules", new, new / "before"):
        assert str(place) in synced
    assert str(folder / ".staged.tmp" / "files" / "modules" / "01-b") in synced
