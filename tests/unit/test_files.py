"""Files that a crash cannot spoil."""

import json
import multiprocessing
import os
import shutil
import signal
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.files import (
    atomic_path,
    check_name,
    combined_digest,
    file_digest,
    folder_lock,
    read_json,
    read_tensors,
    require_disk_space,
    tensor_digest,
    tensor_digests,
    write_json,
    write_tensors,
    write_text,
)


@pytest.mark.parametrize("name", ["chat", "a", "0", "my-skill_2", "x" * 64])
def test_good_names(name: str) -> None:
    assert check_name(name, "module") == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "-x", "_x", "Chat", "chat ", "a\n", "é", "x" * 65, 3],
)
def test_names_that_could_leave_their_folder(name: object) -> None:
    with pytest.raises(GrowlmError, match=r"module .* cannot be a name"):
        check_name(name, "module")  # type: ignore[arg-type]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("ne")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_replaces_the_file_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with path.open() as reader:  # who has the old file open goes on reading it
        write_text(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_json_round_trip(tmp_path: Path) -> None:
    content = {"b": [1, 2.5, None], "a": "ä"}
    write_json(tmp_path / "x.json", content)
    assert read_json(tmp_path / "x.json") == content
    assert "ä" in (tmp_path / "x.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5_000], ids=["empty", "cut", "no UTF-8", "deep", "huge"]
)
def test_what_is_no_json(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "x.json").write_bytes(text)
    with pytest.raises(GrowlmError, match=r"x\.json is not valid JSON"):
        read_json(tmp_path / "x.json")


def test_missing_files(tmp_path: Path) -> None:
    for read in (read_json, read_tensors):
        with pytest.raises(GrowlmError, match="none is missing: is its folder complete"):
            read(tmp_path / "none")


TENSORS = {
    "weight": torch.arange(6.0).reshape(2, 3),
    "half": torch.ones(4, dtype=torch.bfloat16),
    "scalar": torch.tensor(3),
    "empty": torch.zeros(0, 2),
}


def test_tensors_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    mask = os.umask(0o022)
    write_tensors(path, {**TENSORS, "view": TENSORS["weight"].T})
    os.umask(mask)
    read = read_tensors(path)
    assert tensor_digests(read) == tensor_digests({**TENSORS, "view": TENSORS["weight"].T})
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    first = path.read_bytes()
    write_tensors(path, {**TENSORS, "view": TENSORS["weight"].T})
    assert path.read_bytes() == first


def test_a_truncated_tensor_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS)
    whole = path.read_bytes()
    for length in (0, 4, 8, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(GrowlmError, match=r"is damaged .* restore it"):
            read_tensors(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(GrowlmError, match="is damaged"):
        read_tensors(path)


def test_every_altered_bit_of_a_tensor_file_shows(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"weight": TENSORS["weight"], "half": TENSORS["half"]})
    whole = path.read_bytes()
    digests = tensor_digests(read_tensors(path))
    for position in range(len(whole)):
        altered = bytearray(whole)
        altered[position] ^= 1 << position % 8
        path.write_bytes(altered)
        try:
            found = tensor_digests(read_tensors(path))
        except GrowlmError:
            continue
        assert found != digests, f"byte {position}"


def test_digests_tell_values_types_and_shapes_apart() -> None:
    zeros = torch.zeros(2, 3)
    others = [
        zeros.reshape(3, 2),
        zeros.reshape(6),
        torch.zeros(3, 2, 1),
        zeros.to(torch.int32),
        torch.zeros(2, 3, dtype=torch.float64),
        -zeros,
        torch.tensor([[0, 0, 0], [0, 0, 1e-45]]),
        torch.zeros(0),
        torch.tensor(0.0),
    ]
    assert len({tensor_digest(tensor) for tensor in (zeros, *others)}) == 1 + len(others)
    assert tensor_digest(torch.arange(6.0).reshape(2, 3).T) == tensor_digest(torch.tensor([[0.0, 3], [1, 4], [2, 5]]))
    assert tensor_digest(torch.nn.Parameter(zeros)) == tensor_digest(zeros)


def test_one_digest_over_all() -> None:
    assert combined_digest({"a": "1", "b": "2"}) == combined_digest({"b": "2", "a": "1"})
    assert combined_digest({"a": "1", "b": "2"}) != combined_digest({"a": "2", "b": "1"})
    assert list(tensor_digests({"b": torch.zeros(1), "a": torch.zeros(1)})) == ["a", "b"]


def test_file_digest(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert file_digest(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_too_little_disk_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def usage(path: Path) -> object:
        asked.append(path)
        return SimpleNamespace(free=2 * 10**6)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    require_disk_space(tmp_path / "not" / "there", 2 * 10**6)
    with pytest.raises(GrowlmError, match="2 MB free, 3 MB needed"):
        require_disk_space(tmp_path / "not" / "there", 3 * 10**6)
    assert asked == [tmp_path, tmp_path]


def hold(folder: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with folder_lock(folder):
        ready.set()
        signal.pause()


def test_the_lock_excludes_others_and_goes_away_with_its_holder(tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=hold, args=(folder, ready))
    holder.start()
    assert ready.wait(30)
    with pytest.raises(GrowlmError, match=f"stack is in use by process {holder.pid}: wait"), folder_lock(folder):
        pass
    holder.kill()
    holder.join()
    with folder_lock(folder):
        assert (folder / ".lock").read_text() == f"process {os.getpid()}"
    assert list(folder.iterdir()) == []


def test_the_lock_leaves_nothing_behind(tmp_path: Path) -> None:
    with folder_lock(tmp_path / "checkpoints" / "new"):
        pass
    assert not any(tmp_path.iterdir())
    with folder_lock(tmp_path / "new"):
        pass
    assert not (tmp_path / "new").exists()
    with folder_lock(tmp_path / "new"):
        (tmp_path / "new" / "file").touch()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]
    with pytest.raises(KeyError), folder_lock(tmp_path / "new"):
        raise KeyError
    with folder_lock(tmp_path / "new"):
        pass


def test_a_folder_that_was_removed_while_it_was_held_does_not_hide_what_went_wrong(tmp_path: Path) -> None:
    def lose(folder: Path) -> None:
        with folder_lock(folder):
            shutil.rmtree(folder)
            raise KeyError

    with pytest.raises(KeyError):
        lose(tmp_path / "new")


def test_a_lock_file_that_its_holder_removed_meanwhile_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    flock = fcntl.flock

    def removed_first(handle: object, operation: int) -> None:
        (tmp_path / ".lock").unlink()
        flock(handle, operation)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", removed_first)
    with pytest.raises(GrowlmError, match=r"just in use .* try again"), folder_lock(tmp_path):
        pass


def test_json_of_a_manifest_is_for_people(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": {"b": 1}})
    assert (tmp_path / "x.json").read_text() == json.dumps({"a": {"b": 1}}, indent=2) + "\n"


def test_json_that_is_nested_too_deeply(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    for levels in (99, 102, 100_000):
        path.write_text("[" * levels + "]" * levels)
        if levels < 100:
            assert read_json(path)
        else:
            with pytest.raises(GrowlmError, match=r"deep\.json is not valid JSON"):
                read_json(path)
