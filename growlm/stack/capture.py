"""Looking at what layers get as input during a pass."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

Watch = Callable[[nn.Module, tuple[Any, ...]], None]


@contextmanager
def capture_inputs(modules: Sequence[nn.Module], watch: Watch) -> Iterator[None]:
    """Lets a function see the inputs of modules, ``watch(module, inputs)``, for a ``with`` block."""
    handles = [module.register_forward_pre_hook(watch) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
