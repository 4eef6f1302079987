"""Saving a stack: its modules and manifest, not the base."""

import copy
import tempfile
from functools import cached_property
from pathlib import Path
from types import MethodType
from typing import Any

from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from growlm.base.architecture import Architecture
from growlm.base.load import load_tokenizer
from growlm.errors import GrowlmError
from growlm.files import check_digests, read_tensors, tensor_digests
from growlm.manifest import store
from growlm.manifest.config import GrowlmConfig
from growlm.manifest.earlier import RENDERED
from growlm.manifest.manifest import Manifest
from growlm.manifest.own_files import TRANSFORMERS_FILES
from growlm.manifest.store import TensorFile
from growlm.stack.hub import push
from growlm.stack.router_file import StackRouter, router_files
from growlm.stack.tensors import TensorMixin


class SavingMixin(TensorMixin):
    """What a stack writes into its folder."""

    config: GrowlmConfig
    generation_config: GenerationConfig
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
        self.write(Path(save_directory), self.manifest)

    def push_to_hub(self, repo_id: str, **options: Any) -> Any:  # type: ignore[override, unused-ignore]
        """Upload the stack to the Hugging Face hub: its modules, card and tokenizer, not the base.

        Paths of this machine in its records are reduced to file names. ``from_pretrained(repo_id)`` loads it again.

        Args:
            repo_id: the repository, ``user/name``; it is made if it is not there.
            **options: ``license`` (left out: that of the base's card), ``private``, ``token``, ``commit_message``,
                ``revision``, ``create_pr``.

        Returns:
            What the hub says of the commit.

        Raises:
            GrowlmError: if a module is not frozen yet, or the hub refuses it.
        """
        return push(self, repo_id, **options)

    def write(self, folder: Path, manifest: Manifest) -> None:
        """Write the stack with a manifest that says the same of its tensors; see ``save_pretrained``."""
        if self._growing:
            raise GrowlmError(f"module {next(iter(self._growing))!r} is still growing: freeze it before saving")
        store.save(
            folder,
            manifest,
            self.config_upto,
            self._stored_tensors,
            self.method_tensors,
            self.top_files,
        )

    def top_files(self, manifest: Manifest) -> dict[str, str | TensorFile]:
        """Render the files at the top of the stack's folder, ``config.json`` and ``stack.json`` excepted.

        Args:
            manifest: the stack's manifest, or an earlier one.

        Returns:
            By file name, copies of the base's tokenizer and generation config, and once there is a module the router,
            the card and the accuracy matrices.
        """
        if not manifest.modules:
            return dict(self._transformers_files)
        rendered = {name: render(manifest) for name, render in RENDERED.items()}
        return {**router_files(self.router, manifest), **rendered, **self._transformers_files}

    @cached_property
    def _transformers_files(self) -> dict[str, str]:
        with tempfile.TemporaryDirectory() as folder:
            self.tokenizer.save_pretrained(folder)
            self.generation_config.save_pretrained(folder)
            paths = {name: Path(folder) / name for name in TRANSFORMERS_FILES}
            return {name: path.read_text(encoding="utf-8") for name, path in paths.items() if path.exists()}

    def _stored_tensors(self, name: str) -> dict[str, Tensor]:
        """Return a frozen module's tensors as they were frozen, whatever precision they are held in now.

        Raises:
            GrowlmError: if they have changed since, or only their rounded values are in memory.
        """
        record = self.manifest.record(name)
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
    def tokenizer_source(self) -> str:
        """Where the tokenizer is: with the base, if not elsewhere."""
        return getattr(self.config, "tokenizer", None) or self._base_source

    @property
    def tokenizer(self) -> Any:
        """The base's tokenizer.

        Raises:
            GrowlmError: if there is none, or it has more entries than the base's embedding has rows.
        """
        if not hasattr(self, "_tokenizer"):
            source = self.tokenizer_source
            tokenizer: Any = load_tokenizer(source, self.architecture.has_encoder)
            num_rows, _ = self.architecture.embedding_shape(self.architecture.embeddings()[0])
            if len(tokenizer) > num_rows:
                raise GrowlmError(
                    f"the tokenizer of {source} has {len(tokenizer)} entries and the base's embedding {num_rows} rows: "
                    "give the tokenizer that the base was trained with (--tokenizer), or resize the stock model first"
                )
            if self.architecture.has_encoder and tokenizer.pad_token_id != self.base.config.decoder_start_token_id:
                raise GrowlmError(
                    f"the padding token of {source} is not what the base's answers begin with, as T5's is: give "
                    "the tokenizer that the base was trained with (--tokenizer)"
                )
            self._tokenizer = tokenizer
        return self._tokenizer

    def _repr_html_(self) -> str:
        """Draw the stack in a notebook."""
        from growlm.manifest.html import stack_html

        return stack_html(self.manifest)


def with_tokenizer(model: PreTrainedModel, source: str) -> PreTrainedModel:
    """Make a stock model's ``save_pretrained`` write a tokenizer beside the weights.

    Args:
        model: the model; it is changed and returned.
        source: where the tokenizer is.
    """
    encoder_decoder = bool(model.config.is_encoder_decoder)

    def save_pretrained(self: PreTrainedModel, save_directory: str | Path, *args: Any, **kwargs: Any) -> None:
        type(self).save_pretrained(self, save_directory, *args, **kwargs)
        load_tokenizer(source, encoder_decoder).save_pretrained(save_directory)

    # a method, so that a copy of the model saves itself
    model.save_pretrained = MethodType(save_pretrained, model)  # type: ignore[method-assign]
    return model
