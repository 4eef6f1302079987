import platform
from pathlib import Path

import pytest
import torch

from growlm.train.machine import (
    describe_environment,
    fastest_precision,
    keep_freed_memory,
    machine_kind,
    set_threads,
    versions,
)


def test_threads_are_set_where_given() -> None:
    before = torch.get_num_threads()
    set_threads(2)
    assert torch.get_num_threads() == 2
    set_threads(None)
    assert torch.get_num_threads() == 2
    set_threads(before)


def test_keeping_freed_memory_may_be_asked_for_anywhere() -> None:
    keep_freed_memory()
    assert torch.zeros(1 << 20).sum() == 0


def test_the_machine_and_versions_are_described() -> None:
    assert " of a CPU (" in machine_kind() or " x " in machine_kind()
    found = versions()
    assert found["torch"] == torch.__version__
    assert found["growlm"].startswith("0.")
    assert "/" not in "".join(found.values())


@pytest.mark.parametrize(
    ("cuda", "bf16", "flags", "expected"),
    [
        (True, True, "", "bf16-mixed"),
        (True, False, "avx512_bf16", "32-true"),
        (False, False, "avx2 avx512f", "32-true"),
        (False, False, "avx2 avx512_bf16", "bf16-mixed"),
        (False, False, "amx_bf16 amx_tile", "bf16-mixed"),
        (False, False, None, "32-true"),
    ],
)
def test_precision(
    cuda: bool, bf16: bool, flags: str | None, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    if flags is not None:
        cpuinfo.write_text(f"processor : 0\nflags : fpu {flags}\n")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    monkeypatch.setattr("growlm.train.machine._CPUINFO", cpuinfo)
    assert fastest_precision() == expected


def test_environment() -> None:
    found = describe_environment()
    assert set(found) == {"python", "growlm", "torch", "lightning", "transformers", "tokenizers", "machine"}
    assert found["python"] == platform.python_version()
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert all(found.values())
