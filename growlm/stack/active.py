"""The active path of a stack: for every batch or for each row of one, and merged where that is cheaper."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any, Self

import torch
from torch import Tensor

from growlm.errors import GrowlmError
from growlm.manifest.manifest import Manifest
from growlm.manifest.path import BASE, Parents, Path, normalise, own_path
from growlm.modules.context import ActivePath, ForwardContext
from growlm.stack.offload import Offload
from growlm.stack.router_file import StackRouter
from growlm.stack.sites import Sites


class PathMixin:
    """What a stack does with paths. An activated path holds for the thread or asyncio task that activated it."""

    device: torch.device
    manifest: Manifest
    router: StackRouter | None
    _context: ForwardContext
    _sites: Sites
    _growing: dict[str, Path]
    _offload: Offload | None = None
    compiled_path: Path | None = None
    """The path that the decoder layers are compiled for; None: they are not."""

    def parents(self) -> Parents:
        """Return, for each module in order of growth, the path it was grown on."""
        return {**self.manifest.parents(), **self._growing}

    def path_of(self, skill: str) -> Path:
        """Return the path that answers for a skill: that of its module, or of the one that superseded it.

        Raises:
            GrowlmError: if no module has that name.
        """
        return () if skill == BASE else own_path(self.manifest.newest_version(skill), self.parents())

    @property
    def path(self) -> Path:
        """The active path; where rows have paths of their own, all modules that are active for some row."""
        return self._context.path.modules

    def set_path(self, path: Sequence[str], closed: bool = True) -> Path:
        """Activate a path until it is changed again.

        A thread that activates no path runs the one that any thread activated last in this way.

        Args:
            path: names of modules; ``()`` is the bare base.
            closed: refuse a path that lacks what one of its modules was grown on. False shows what a module does alone.

        Returns:
            The path in order of growth.

        Raises:
            GrowlmError: for an unknown name, or a path that is not closed.
        """
        self._context.activate(ActivePath(self._checked(path, closed)))
        return self.path

    @contextmanager
    def active(self, *names: str, closed: bool = True) -> Iterator[Self]:
        """Activate a path for a ``with`` block, in this thread or task alone; see ``set_path``."""
        with self._context.activated(ActivePath(self._checked(names, closed))):
            yield self

    @contextmanager
    def active_rows(self, paths: Sequence[Sequence[str]]) -> Iterator[Self]:
        """Activate a path of its own for every row of a batch, for a ``with`` block.

        ``generate`` with beams or several answers to a prompt runs all rows of a prompt on the prompt's path.

        Args:
            paths: B paths; a row sees exactly nothing of a module that is not on its path.

        Raises:
            GrowlmError: for an unknown name or a path that is not closed; in ``forward`` and ``generate``, for a batch
                that has not B rows.
        """
        with self._context.activated(self._row_paths(paths)):
            yield self

    @contextmanager
    def expecting(self, num_tokens: int) -> Iterator[Self]:
        """Leave room for rows of that many tokens, for a ``with`` block around the passes that make them.

        Only a path that puts examples before the tokens needs to know: the first pass decides how many there are.
        """
        with self._context.activated(replace(self._context.path, num_tokens=num_tokens)):
            yield self

    def choose_paths(self, prompts: Sequence[Sequence[int]]) -> list[Path]:
        """Let the stack's router choose the path of each prompt.

        Args:
            prompts: the prompts' tokens, each exactly as the model gets it.

        Returns:
            A path for each.

        Raises:
            GrowlmError: if the stack has no router.
        """
        if self.router is None:
            raise GrowlmError("the stack has no router: name a path, or grow a skill with --router ridge")
        return self.router.choose(self, prompts)

    def merge_frozen(self, offload_to: FilePath | None = None) -> None:
        """Run the frozen changes of weights on the active path as one in each site, until ``unmerge``.

        A step of training then costs the same, however many modules it builds on. Only while this very path is active;
        what is computed is the same up to rounding.

        Args:
            offload_to: folder that tensors which do not run are mapped from until ``unmerge``; None: all stays in
                memory.
        """
        self.unmerge()
        self._sites.merge_frozen(self._growing)
        if offload_to is not None:
            self._offload = Offload(self._sites.unused_tensors(), offload_to)

    def unmerge(self) -> None:
        """Run every part by itself again."""
        self._sites.unmerge()
        if self._offload is not None:
            self._offload.restore()
            self._offload = None

    @contextmanager
    def frozen_merged(self) -> Iterator[Self]:
        """Merge for a ``with`` block; see ``merge_frozen``. What is fused for the active path stays fused."""
        with self.restoring_merged():
            self._sites.merge_frozen(self._growing)
            yield self

    @contextmanager
    def restoring_merged(self) -> Iterator[None]:
        """Merge, fuse and unmerge in a ``with`` block; what ran in each site before it runs again after it."""
        before = self._sites.merged()
        try:
            yield
        finally:
            self._sites.restore_merged(before)

    @contextmanager
    def _generation_paths(
        self, inputs: Tensor | None, settings: Mapping[str, Any], default_config: Any, routed: bool
    ) -> Iterator[None]:
        """Activate the path of each row that ``generate`` makes of its inputs, for a ``with`` block."""
        input_ids_BT = settings.get("input_ids") if inputs is None else inputs
        path = self._context.path
        if routed:
            if input_ids_BT is None:
                raise GrowlmError("rows are routed by their tokens: give input_ids")
            path = self._row_paths(self.choose_paths(_prompts(input_ids_BT, settings.get("attention_mask"))))
        rows = settings.get("inputs_embeds") if input_ids_BT is None else input_ids_BT
        if rows is not None:
            path.check_batch(len(rows))
        config = settings.get("generation_config") or default_config

        def asked(key: str) -> int:
            return int(settings.get(key) or getattr(config, key, None) or 0)

        copies = max(1, asked("num_beams"), asked("num_return_sequences"))
        new, length = asked("max_new_tokens"), 0 if rows is None else rows.shape[1]
        num_tokens = length + new if new else max(length, asked("max_length"))
        with self._context.activated(replace(path.repeated(copies), num_tokens=num_tokens)):
            yield

    def _row_paths(self, paths: Sequence[Sequence[str]]) -> ActivePath:
        rows = [normalise(path, self.parents()) for path in paths]
        modules = normalise(tuple({name for path in rows for name in path}), self.parents())
        masks = {
            name: torch.tensor([name in path for path in rows], device=self.device)
            for name in modules
            if not all(name in path for path in rows)
        }
        return ActivePath(modules, masks, len(rows))

    def _checked(self, path: Sequence[str], closed: bool) -> Path:
        if isinstance(path, str):
            raise GrowlmError(f"a path is a list of names and {path!r} is one string: give [{path!r}], [] for {BASE}")
        return normalise(path, self.parents() if closed else dict.fromkeys(self.parents(), ()))


def _prompts(input_ids_BT: Tensor, mask_BT: Tensor | None) -> list[list[int]]:
    if mask_BT is None:
        return [row_T.tolist() for row_T in input_ids_BT]
    return [row_T[mask_T.bool()].tolist() for row_T, mask_T in zip(input_ids_BT, mask_BT, strict=True)]
