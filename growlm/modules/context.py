"""What the sites of a model share while it runs: the active path, and the state of the pass.

A path is active for one thread or asyncio task; the state of a pass belongs to the thread that runs it. So several
threads can run one stack at the same time, each with a path of its own.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Self
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from growlm.errors import GrowlmError
from growlm.terminal import counted


@dataclass(frozen=True)
class ActivePath:
    """The modules that are active, for all rows of a batch or for some.

    Args:
        modules: names of the active modules, in order of growth.
        rows: for each module that is active for some rows only, for which ones, Bool[B].
        num_rows: B, if each row has a path of its own; None: any batch is on this path.
        num_tokens: tokens that a row is to hold in the end, for which room is left; 0: those that a pass is given.
    """

    modules: tuple[str, ...] = ()
    rows: Mapping[str, Tensor] = field(default_factory=dict)
    num_rows: int | None = None
    num_tokens: int = 0

    def without(self, name: str) -> "ActivePath":
        """Return the path less one module."""
        rows = {module: mask_B for module, mask_B in self.rows.items() if module != name}
        return replace(self, modules=tuple(module for module in self.modules if module != name), rows=rows)

    def repeated(self, copies: int) -> "ActivePath":
        """Return the path for a batch in which ``copies`` rows, one after the other, replace each row of this one."""
        if self.num_rows is None:
            return self
        rows = {module: mask_B.repeat_interleave(copies) for module, mask_B in self.rows.items()}
        return replace(self, rows=rows, num_rows=self.num_rows * copies)

    def check_batch(self, num_rows: int) -> None:
        """Raise GrowlmError if each row has a path and a batch of ``num_rows`` rows is another number of rows."""
        if self.num_rows not in (None, num_rows):
            raise GrowlmError(
                f"active_rows got {counted(self.num_rows or 0, 'path')} and the batch has {counted(num_rows, 'row')}: "
                "give one path for each row"
            )


@dataclass
class _Pass:
    """The state of one forward pass.

    Args:
        mask: 1 for tokens and 0 for padding on the left, [B, S]; None: no padding.
        captured: by part, the tensor that it captured for another part.
        shared_values: by name, what the parts of several sites compute together.
    """

    mask: Tensor | None = None
    captured: dict[nn.Module, Tensor] = field(default_factory=dict)
    shared_values: dict[str, Any] = field(default_factory=dict)


class _ThreadState(threading.local):
    current: _Pass | None = None


@dataclass(frozen=True)
class _Own:
    """The path that one thread or task has activated; within a block it ends with the block."""

    path: ActivePath
    in_block: bool


_own_paths: ContextVar[Mapping["ForwardContext", _Own]] = ContextVar("growlm_active_paths")


class ForwardContext:
    """What the sites of one model share: which modules are active, and the state of the pass that runs."""

    def __init__(self, path: ActivePath | None = None) -> None:
        self._default = path or ActivePath()
        self._thread = _ThreadState()
        self._last_pass = _Pass()

    @property
    def path(self) -> ActivePath:
        """The active path of this thread or task; one that never activated any has the path activated last."""
        own = self._own
        return self._default if own is None else own.path

    def activate(self, path: ActivePath) -> None:
        """Activate a path for this thread or task, and unless in a block for all that have activated none."""
        in_block = self._own is not None and self._own.in_block
        if not in_block:
            self._default = path
        self._set_own(_Own(path, in_block))

    @contextmanager
    def activated(self, path: ActivePath) -> Iterator[None]:
        """Activate a path for a ``with`` block, for this thread or task alone."""
        before = self._own
        self._set_own(_Own(path, in_block=True))
        try:
            yield
        finally:
            self._set_own(before)

    def deactivate(self, name: str) -> None:
        """Take a module off the active path."""
        self._default = self._default.without(name)
        if self._own is not None:
            self._set_own(replace(self._own, path=self._own.path.without(name)))

    @property
    def _own(self) -> _Own | None:
        return _own_paths.get({}).get(self)

    def _set_own(self, own: _Own | None) -> None:
        paths = WeakKeyDictionary(_own_paths.get({}))  # a copy: another task may share the old one
        if own is None:
            paths.pop(self, None)
        else:
            paths[self] = own
        _own_paths.set(paths)

    # -- the pass ----------------------------------------------------------------------------------------------------

    @contextmanager
    def forward_pass(self, num_rows: int, mask: Tensor | None = None) -> Iterator[None]:
        """Run a forward pass of this thread in a ``with`` block; what parts capture in it stays until the next one.

        Args:
            num_rows: rows of the batch.
            mask: 1 for tokens and 0 for padding on the left, [B, S]; None: no padding.

        Raises:
            GrowlmError: if each row has a path of its own and their number is not that of the batch.
        """
        self.path.check_batch(num_rows)
        state = self._thread.current = self._last_pass = _Pass(mask)
        try:
            yield
        finally:
            state.mask = None

    def forget_pass(self) -> None:
        """Drop what the parts captured in the last pass."""
        self._thread.current = self._last_pass = _Pass()

    @property
    def mask(self) -> Tensor | None:
        """1 for tokens and 0 for padding on the left, [B, S]; None: no padding."""
        return self._pass.mask

    @property
    def captured(self) -> dict[nn.Module, Tensor]:
        """By part, the tensor that it captured in this pass for another part."""
        return self._pass.captured

    @property
    def shared_values(self) -> dict[str, Any]:
        """By a name of the kind's own, what parts of several sites compute together in this pass."""
        return self._pass.shared_values

    @property
    def _pass(self) -> _Pass:
        # threads of autograd recompute layers of the pass that another thread has run
        return self._thread.current or self._last_pass

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a context with the same path; the state of a pass belongs to that pass."""
        return type(self)(self.path)
