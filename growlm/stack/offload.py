"""Tensors that nothing reads for a while: in a file, mapped from there, instead of in memory."""

import ctypes
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from growlm.errors import GrowlmError
from growlm.files import require_disk_space

_ALIGNMENT = 64  # bytes; a multiple of every element's size


class Offload:
    """Keeps tensors in a file until ``restore``.

    Each is the same object with the same bits as before and can be read, but takes memory only as far as it is read.
    What is not in the memory of the CPU stays where it is, and so does everything if the disk is too full or files
    cannot be mapped from it.

    Args:
        tensors: the tensors; they must not be written to meanwhile.
        folder: where the file is made; it has no name there, and the system removes it when it is let go of.
    """

    def __init__(self, tensors: Iterable[Tensor], folder: Path) -> None:
        unique = {id(tensor): tensor for tensor in tensors if tensor.device.type == "cpu" and tensor.numel()}
        self._tensors = list(unique.values())
        if not self._tensors:
            return
        starts = [0]
        for tensor in self._tensors:
            starts.append(starts[-1] + -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT)
        try:
            self._mapped = _written(self._tensors, starts, folder)
        except (GrowlmError, OSError, RuntimeError):
            self._tensors = []
            return
        for start, tensor in zip(starts, self._tensors, strict=False):
            tensor.data = self._mapped[start : start + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
        _give_back_freed_memory()

    def restore(self) -> None:
        """Take the tensors into memory again, but for those that were moved elsewhere meanwhile."""
        for tensor in self._tensors:
            if tensor.untyped_storage().data_ptr() == self._mapped.data_ptr():
                tensor.data = tensor.data.clone()
        self._tensors = []


def _written(tensors: Sequence[Tensor], starts: Sequence[int], folder: Path) -> Tensor:
    """Write tensors into a file, each where it starts, map the file, UInt8[starts[-1]], and remove its name."""
    require_disk_space(folder, starts[-1])
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for start, tensor in zip(starts, tensors, strict=False):
            file.seek(start)
            file.write(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        file.truncate(starts[-1])
        file.flush()
        return torch.from_file(file.name, shared=False, size=starts[-1], dtype=torch.uint8)


def _give_back_freed_memory() -> None:
    """Ask the C library to give freed memory back to the system: glibc keeps what small tensors left."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
