"""Saving a stack: its modules and manifest, not the base."""

import copy
from pathlib import Path
from typing import Any

from growlm.base.load import load_tokenizer
from growlm.errors import GrowlmError
from growlm.manifest import store
from growlm.manifest.config import GrowlmConfig
from growlm.manifest.manifest import Manifest
from growlm.stack.router_file import StackRouter, router_files
from growlm.stack.tensors import TensorMixin


class SavingMixin(TensorMixin):
    """What a stack writes into its folder."""

    config: GrowlmConfig
    router: StackRouter | None
    _growing: dict[str, tuple[str, ...]]
    _base_source: str

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Write the stack into a folder: its modules and manifest, not the base.

        Args:
            save_directory: the folder; a stack that is there already must be an earlier state of this one.
            **kwargs: what transformers may pass on; not used.

        Raises:
            GrowlmError: if a module is not frozen yet, or another stack is there.
        """
        if self._growing:
            raise GrowlmError(f"module {next(iter(self._growing))!r} is still growing: freeze it before saving")
        store.save(
            Path(save_directory),
            self.manifest,
            self.config_upto,
            self.module_tensors,
            self.method_tensors,
            lambda manifest: router_files(self.router, manifest),
        )

    def config_upto(self, manifest: Manifest) -> GrowlmConfig:
        """Return the config of the stack with the modules of a manifest only."""
        config = copy.deepcopy(self.config)
        config.inserted_after = self._sites.inserted_after(manifest.parents())
        return config

    @property
    def tokenizer(self) -> Any:
        """The base's tokenizer."""
        if not hasattr(self, "_tokenizer"):
            self._tokenizer = load_tokenizer(self._base_source)
        return self._tokenizer
