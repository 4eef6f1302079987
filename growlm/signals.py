"""Signals that ask a process to end: Ctrl-C (SIGINT), SIGTERM and SIGHUP."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")


def take_over(handler: Handler) -> dict[int, Any]:
    """Let a handler receive the signals that ask for an end.

    A signal that is ignored stays so: ``nohup`` and a shell's background jobs count on that. Only the main thread may
    set handlers; in another one nothing changes.

    Args:
        handler: what is called with the signal's number and the frame that was running.

    Returns:
        The earlier handlers by number, for ``hand_back``.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
    return {number: signal.signal(number, handler) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}


def hand_back(handlers: Mapping[int, Any]) -> None:
    """Set the earlier handlers again.

    Args:
        handlers: what ``take_over`` returned.
    """
    for number, handler in handlers.items():
        signal.signal(number, handler)


@contextmanager
def interrupted_alike() -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` for each of the signals, as Ctrl-C does, for a ``with`` block."""
    handlers = take_over(_interrupt)
    try:
        yield
    finally:
        hand_back(handlers)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
