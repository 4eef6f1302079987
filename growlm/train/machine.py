"""The machine under a phase: threads, memory, precision, and what records say of it."""

import ctypes
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import torch

from growlm.errors import GrowlmError
from growlm.files import cache_folder
from growlm.terminal import counted

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_PACKAGES = ("growlm", "torch", "lightning", "transformers", "tokenizers")
_CPUINFO = Path("/proc/cpuinfo")
_BF16_FLAGS = ("avx512_bf16", "amx_bf16")


def keep_freed_memory() -> None:
    """Make the C library keep freed memory instead of handing it back to the system (glibc only).

    Large activations are allocated and freed in every step; without this each step pays for the page faults, about a
    tenth of its time on two CPU cores.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def set_threads(threads: int | None) -> None:
    """Set how many CPU threads torch uses; results are reproducible bit for bit only at the same number."""
    if threads is not None:
        torch.set_num_threads(threads)


def require_compiler() -> None:
    """Check that ``torch.compile`` can work on the CPU.

    Raises:
        GrowlmError: if there is no C++ compiler.
    """
    if not _has_compiler():
        raise GrowlmError("compile: true needs a C++ compiler, and none was found: install g++, or set compile: false")


def compile_problem(device: torch.device) -> str | None:
    """Say why layers are not compiled on a device; None: they can be."""
    if device.type != "cpu":
        return f"this is for CPUs, the phase runs on {device.type}"
    return None if _has_compiler() else "no C++ compiler was found (install g++)"


def keep_compiled_code() -> None:
    """Keep what ``torch.compile`` compiles in growlm's cache, for later runs, unless the environment says where."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compiled"))


def _has_compiler() -> bool:
    return any(shutil.which(name) for name in ("g++", "clang++", "c++"))


def machine_kind() -> str:
    """Describe the machine as far as results and speed depend on it."""
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    known = _CPUINFO.read_text(encoding="utf-8") if _CPUINFO.exists() else ""
    flags = [flag for flag in ("avx512_bf16", "amx_bf16", "avx512f", "avx2") if flag in known]
    kind = ", ".join([platform.machine(), *flags[:1]])  # not its name: a record may be published
    threads = torch.get_num_threads()
    return f"{counted(threads, 'thread')} of a CPU ({kind})"


def versions() -> dict[str, str]:
    """List the versions that results depend on; growlm's own names the commit where it is a checkout."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    if shutil.which("git"):
        commit = subprocess.run(git, capture_output=True, text=True, check=False)
        if commit.returncode == 0:
            found["growlm"] += f"+g{commit.stdout.strip()}"
    return {"python": platform.python_version(), **found}


def describe_environment() -> dict[str, str]:
    """Return what a phase's record names: the versions that decide numbers, and the kind of machine."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **found, "machine": machine_kind()}


def fastest_precision() -> Literal["bf16-mixed", "32-true"]:
    """Choose between Lightning's ``bf16-mixed`` and ``32-true``.

    Returns:
        ``bf16-mixed`` where the hardware multiplies bf16 matrices itself (2 to 3 times as fast as fp32 on a CPU that
        does), else ``32-true``.
    """
    return "bf16-mixed" if multiplies_bf16(torch.cuda.is_available()) else "32-true"


def multiplies_bf16(on_gpu: bool) -> bool:
    """Return whether the hardware multiplies bf16 matrices itself."""
    if on_gpu:
        return torch.cuda.is_bf16_supported()
    flags = _CPUINFO.read_text(encoding="utf-8") if _CPUINFO.exists() else ""
    return any(flag in flags for flag in _BF16_FLAGS)
