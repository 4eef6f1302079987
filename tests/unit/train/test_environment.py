"""Which precision trains fastest here, and what results say about where they come from."""

import platform
from pathlib import Path

import pytest
import torch

from growlm.train import precision
from growlm.train.environment import describe_environment


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
    monkeypatch.setattr(precision, "Path", lambda name: cpuinfo)
    assert precision.fastest_precision() == expected


def test_environment() -> None:
    found = describe_environment()
    assert set(found) == {"python", "growlm", "torch", "lightning", "transformers", "tokenizers", "machine"}
    assert found["python"] == platform.python_version()
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert all(found.values())
