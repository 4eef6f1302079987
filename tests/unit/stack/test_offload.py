"""Tensors that are set offload_to: the same bits, in a mapped file, and back in memory afterwards."""

from collections import namedtuple
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from growlm.stack.offload import Offload


def some_tensors() -> list[Tensor]:
    return [
        nn.Parameter(torch.randn(3, 5), requires_grad=False),
        torch.randn(7, 4, dtype=torch.float64).T,
        torch.arange(11, dtype=torch.int16),
        torch.tensor(2.5, dtype=torch.bfloat16),
        torch.empty(0, 3),
    ]


def mapped_file(tensor: Tensor) -> str:
    """Return the file that a tensor's memory is mapped from; empty if it is ordinary memory."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        begin, end = (int(address, 16) for address in line.split()[0].split("-"))
        if begin <= tensor.data_ptr() < end:
            return line.split(maxsplit=5)[5] if "/" in line else ""
    raise AssertionError("the tensor is nowhere")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not tell what memory is mapped")
def test_tensors_are_read_from_a_file_and_taken_back(tmp_path: Path) -> None:
    tensors = some_tensors()
    before = [tensor.clone() for tensor in tensors]
    offload = Offload([*tensors, tensors[0]], tmp_path)
    assert all(mapped_file(tensor).startswith(str(tmp_path)) for tensor in tensors[:-1])
    assert all(torch.equal(tensor, was) for tensor, was in zip(tensors, before, strict=True))
    assert not list(tmp_path.iterdir())  # its name is gone: a crash leaves nothing behind
    offload.restore()
    assert not any(mapped_file(tensor) for tensor in tensors[:-1])
    assert all(torch.equal(tensor, was) for tensor, was in zip(tensors, before, strict=True))
    assert isinstance(tensors[0], nn.Parameter)


def test_what_was_moved_meanwhile_stays_where_it_is(tmp_path: Path) -> None:
    moved, stayed = nn.Linear(3, 2, bias=False), nn.Linear(3, 2, bias=False)
    offload = Offload([moved.weight, stayed.weight], tmp_path)
    moved.to(torch.float64)
    places = moved.weight.data_ptr(), stayed.weight.data_ptr()
    offload.restore()
    assert moved.weight.data_ptr() == places[0]
    assert stayed.weight.data_ptr() != places[1]


def test_nothing_to_offload_makes_no_file(tmp_path: Path) -> None:
    Offload([torch.empty(0)], tmp_path / "missing").restore()


def test_on_a_full_disk_everything_stays_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")(100)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    tensor = torch.ones(100)
    place = tensor.data_ptr()
    offload = Offload([tensor], tmp_path)
    assert tensor.data_ptr() == place
    offload.restore()
    assert tensor.data_ptr() == place
    assert not list(tmp_path.iterdir())
