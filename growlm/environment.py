"""What a result depends on besides its settings: versions and the kind of machine."""

import platform
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("growlm", "torch", "lightning", "transformers", "tokenizers")


def describe_environment() -> dict[str, str]:
    """Names versions and the kind of machine, for results to carry.

    Returns:
        By name: the versions of Python and of the packages that decide numbers, the processor and its number of
        threads in use, and the accelerator.
    """
    import torch

    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
        "processor": f"{_processor()}, {torch.get_num_threads()} threads",
        "accelerator": accelerator,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
