"""A quiet Lightning: no advertisements, no device lines, no warnings that a user can do nothing about."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")

# message (beginning, as a regular expression): why it is of no use to whoever runs a phase
_NEEDLESS = {
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated": "Lightning calls torch's own pytree in its old way",
    r".*does not have many workers": "batches come from a memory map; a worker would only compete for the cores",
    r".*torch\.jit\.": "torch deprecates its own helpers that Lightning and inductor still use",
    r".*The \.grad attribute of a Tensor that is not a leaf": "dynamo looks at the inputs of what it compiles",
    r".*lr_scheduler\.step": "the schedule is a function of the step, no scheduler object",
    r".*Found keys that are in the model state dict but not in the checkpoint": "only trained tensors are saved",
}


@contextmanager
def suppress_lightning_notices() -> Iterator[None]:
    """Silences Lightning's notices within the block; its errors, and warnings not listed here, still come through."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in _NEEDLESS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
