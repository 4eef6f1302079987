"""What a result depends on besides its settings: versions and the kind of machine."""

import platform
from importlib.metadata import version

from growlm.train.machine import machine_kind

_PACKAGES = ("growlm", "torch", "lightning", "transformers", "tokenizers")


def describe_environment() -> dict[str, str]:
    """Names versions and the kind of machine, for results to carry.

    Returns:
        By name: the versions of Python and of the packages that decide numbers, and the machine.
    """
    versions = {package: version(package) for package in _PACKAGES}
    return {"python": platform.python_version(), **versions, "machine": machine_kind()}
