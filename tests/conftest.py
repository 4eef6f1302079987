"""What every test gets: fixed seeds, one thread, no network, an empty working folder only where it asks for one."""

import os
import random
import socket

# before transformers or torch are imported
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

_CONNECT = socket.socket.connect
_LOCAL = ("127.", "localhost", "::1", "0.0.0.0")


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    """Seeds what the test may use; torch only if it was imported."""
    import sys

    random.seed(0)
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a socket reach this machine alone."""
    if request.node.get_closest_marker("network"):
        return

    def connect(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"  # a Unix socket's address is a path
        if not str(host).startswith(_LOCAL):
            raise AssertionError(f"a test tried to reach {address!r}")
        _CONNECT(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
