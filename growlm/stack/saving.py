"""Saving a stack: its modules and manifest, not the base."""

import copy
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from growlm.base.architecture import Architecture
from growlm.base.load import load_tokenizer
from growlm.errors import GrowlmError
from growlm.files import check_digests, read_tensors, tensor_digests
from growlm.manifest import store
from growlm.manifest.config import GrowlmConfig
from growlm.manifest.manifest import Manifest
from growlm.stack.router_file import StackRouter, router_files
from growlm.stack.tensors import TensorMixin


class SavingMixin(TensorMixin):
    """What a stack writes into its folder."""

    config: GrowlmConfig
    router: StackRouter | None
    architecture: Architecture
    base: PreTrainedModel
    _growing: dict[str, tuple[str, ...]]
    _base_source: str
    # where the tensors of modules that were loaded are stored
    _module_files: dict[str, Path]

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Write the stack into a folder: its modules and manifest, not the base.

        Args:
            save_directory: the folder; a stack that is there already must be an earlier state of this one.
            **kwargs: what transformers may pass on; not used.

        Raises:
            GrowlmError: if a module is not frozen yet or was changed since, or another stack is there.
        """
        if self._growing:
            raise GrowlmError(f"module {next(iter(self._growing))!r} is still growing: freeze it before saving")
        store.save(
            Path(save_directory),
            self.manifest,
            self.config_upto,
            self._stored_tensors,
            self.method_tensors,
            lambda manifest: router_files(self.router, manifest),
        )

    def _stored_tensors(self, name: str) -> dict[str, Tensor]:
        """Return a frozen module's tensors as they were frozen, whatever precision they are held in now.

        Raises:
            GrowlmError: if they have changed since, or only their rounded values are in memory.
        """
        record = next(record for record in self.manifest.modules if record.name == name)
        tensors = self.module_tensors(name)
        found = tensor_digests(tensors)
        file = self._module_files.get(name)
        if file is None or found == record.tensors:
            check_digests(found, record.tensors, f"module {name!r} in memory (save it before it is cast or changed)")
            return tensors
        stored = read_tensors(file)
        check_digests(tensor_digests(stored), record.tensors, str(file))
        rounded = {key: tensor.to(tensors[key].dtype) for key, tensor in stored.items()}
        check_digests(found, tensor_digests(rounded), f"module {name!r} in memory")
        return stored

    def config_upto(self, manifest: Manifest) -> GrowlmConfig:
        """Return the config of the stack with the modules of a manifest only."""
        config = copy.deepcopy(self.config)
        config.inserted_after = self._sites.inserted_after(manifest.parents())
        return config

    @property
    def tokenizer(self) -> Any:
        """The base's tokenizer.

        Raises:
            GrowlmError: if there is none, or it has more entries than the base's embedding has rows.
        """
        if not hasattr(self, "_tokenizer"):
            source = getattr(self.config, "tokenizer", None) or self._base_source
            tokenizer = load_tokenizer(source)
            num_rows, _ = self.architecture.embedding_shape(self.architecture.embeddings()[0])
            if len(tokenizer) > num_rows:
                raise GrowlmError(
                    f"the tokenizer of {source} has {len(tokenizer)} entries and the base's embedding {num_rows} rows: "
                    "give the tokenizer that the base was trained with (--tokenizer), or resize the stock model first"
                )
            self._tokenizer = tokenizer
        return self._tokenizer

    @property
    def pad_id(self) -> int:
        """The token that rows of a batch are padded with."""
        pad_id = self.tokenizer.pad_token_id
        return int(self.tokenizer.eos_token_id if pad_id is None else pad_id)

    @property
    def context_length(self) -> int:
        """The greatest number of tokens that the base can read at once."""
        return int(getattr(self.base.config, "max_position_embeddings", 1_024))

    def _repr_html_(self) -> str:
        """Draw the stack in a notebook."""
        from growlm.manifest.html import stack_html

        return stack_html(self.manifest)
