"""The machine under a phase: threads, memory, what it is called in a card."""

import ctypes
import importlib.metadata
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import torch

from growlm.errors import GrowlmError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Tells the C library to keep freed memory instead of handing it back to the system (glibc only).

    Large activations are allocated and freed in every step; without this each step pays for the page faults, about a
    tenth of its time on two CPU cores.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def set_threads(threads: int | None) -> None:
    """Sets how many CPU threads torch uses; results are reproducible bit for bit only at the same number."""
    if threads is not None:
        torch.set_num_threads(threads)


def require_compiler() -> None:
    """Checks that ``torch.compile`` can work on the CPU.

    Raises:
        GrowlmError: if there is no C++ compiler.
    """
    if not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        raise GrowlmError("compile: true needs a C++ compiler, and none was found: install g++, or set compile: false")


def machine_kind() -> str:
    """Describes the machine as far as results and speed depend on it."""
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    name, flags = platform.machine(), ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        fields = dict(line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
        values = {key.strip(): value.strip() for key, value in fields.items()}
        name = values.get("model name", name)
        wanted = [flag for flag in ("avx512_bf16", "amx_bf16", "avx512f", "avx2") if flag in values.get("flags", "")]
        flags = f", {wanted[0]}" if wanted else ""
    return f"{torch.get_num_threads()} threads of a CPU ({name}{flags})"


def versions() -> dict[str, str]:
    """Lists the versions that results depend on; growlm's own names the commit where it is a checkout."""
    names = ("growlm", "torch", "lightning", "transformers", "tokenizers")
    found = {name: importlib.metadata.version(name) for name in names}
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    if shutil.which("git"):
        commit = subprocess.run(git, capture_output=True, text=True, check=False)
        if commit.returncode == 0:
            found["growlm"] += f"+g{commit.stdout.strip()}"
    return {"python": platform.python_version(), **found}
