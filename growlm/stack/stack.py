"""The stack: a frozen base and the modules grown on it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, DynamicCache, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

import growlm
from growlm.base.architecture import FAMILIES, Architecture, family_of
from growlm.base.load import as_recorded, load_base
from growlm.base.quantize import Quantization, hold
from growlm.errors import GrowlmError
from growlm.files import check_digests, check_name, read_tensors, tensor_digests
from growlm.manifest.config import GrowlmConfig, recorded_tokenizer
from growlm.manifest.manifest import (
    METHOD_FILE,
    TENSOR_FILE,
    BaseRecord,
    Manifest,
    ModuleRecord,
    read_consistently,
    read_manifest,
)
from growlm.manifest.path import BASE, Path, normalise
from growlm.modules.context import ForwardContext
from growlm.modules.kind import ModuleKind, check_encoder_decoder, check_quantized
from growlm.modules.site import Part
from growlm.registry import module_kinds
from growlm.stack.active import PathMixin
from growlm.stack.arguments import check_arguments, known_arguments
from growlm.stack.checkpointing import CheckpointingMixin
from growlm.stack.in_context import Given
from growlm.stack.loading import LoadOptions
from growlm.stack.proof import prove
from growlm.stack.router_file import StackRouter, read_router
from growlm.stack.rows import rows_of
from growlm.stack.saving import SavingMixin, with_tokenizer
from growlm.stack.sites import Sites
from growlm.stack.stock import StockMixin
from growlm.stack.tensors import base_record, outside_record


class ModuleStack(PathMixin, SavingMixin, StockMixin, CheckpointingMixin, PreTrainedModel, GenerationMixin):  # type: ignore[misc]  # its own folder
    """A frozen base with modules attached at its sites; a transformers model that can generate.

    Make one with ``from_base`` or ``from_pretrained``. A new stack's active path is the bare base; a loaded one's is
    the path of its newest module. ``merged`` and ``fused`` are short for the functions ``growlm.merge`` and
    ``growlm.fused``.

    Args:
        config: the stack's config.
        base: the stock model; sites are put into it, its weights are never touched.
        base_record: what the manifest says of the base.
        digests: digests of the base's tensors as they are in memory; None: they are computed.

    Attributes:
        quantization: how the linears of the base's layers are held in fewer bits; None: they are not.
    """

    config: GrowlmConfig
    config_class = GrowlmConfig
    base_model_prefix = "base"
    main_input_name = "input_ids"
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    def __init__(
        self,
        config: GrowlmConfig,
        base: PreTrainedModel,
        base_record: BaseRecord,
        digests: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(config)
        self._base_source = base_record.source  # where it is now; the manifest of a loaded stack says where it was
        self.base = base.requires_grad_(False).eval()
        self.architecture = Architecture(base)
        self.rows = rows_of(base)
        self._arguments = known_arguments(ModuleStack.forward, base)
        self.manifest = Manifest(base_record)
        self.router: StackRouter | None = None
        self.quantization: Quantization | None = None
        self._context = ForwardContext()
        self._sites = Sites(self.base, self._context)
        self._growing: dict[str, Path] = {}
        self._growing_kinds: dict[str, Mapping[str, ModuleKind]] = {}
        self._method_tensors = {}
        self._module_files = {}
        digests = tensor_digests(self.base_tensors()) if digests is None else digests
        self._digests = {f"{BASE}/{name}": digest for name, digest in digests.items()}
        self.generation_config = base.generation_config

    # -- making ------------------------------------------------------------------------------------------------------

    @classmethod
    def from_base(
        cls,
        source: str,
        dtype: torch.dtype | None = None,
        tokenizer: str | None = None,
        quantization: Quantization | None = None,
    ) -> Self:
        """Begin a stack on a base.

        Args:
            source: name of a shipped base, a folder, or a Hugging Face model id.
            dtype: what the weights are held in; None: fp32, or bf16 if they are quantized.
            tokenizer: where the tokenizer is, if not with the base: a folder, or a model id.
            quantization: hold the linears of the decoder layers in 8 (``int8``) or 4 bits (``nf4``).

        Returns:
            A stack without modules.

        Raises:
            GrowlmError: if there is no such base, or its architecture is not supported.
        """
        base = load_base(source, dtype="auto")  # digests are of the tensors as stored
        if base.config.model_type not in FAMILIES:
            prove(base.config, lambda model: cls(GrowlmConfig.of(model.config), model, base_record(model, "random")))
        record = base_record(base, as_recorded(source))
        if quantization is not None and base.config.is_encoder_decoder:
            raise GrowlmError("an encoder-decoder cannot be held in fewer bits: leave quantization out")
        as_stored = hold(base, family_of(base).layers, dtype, quantization)
        stack = cls(GrowlmConfig.of(base.config, tokenizer), base, record, record.tensors if as_stored else None)
        stack.quantization = quantization
        return stack

    @classmethod
    def from_pretrained(  # type: ignore[override]  # the options are checked by name
        cls, pretrained_model_name_or_path: str | FilePath, **options: Any
    ) -> Self:
        """Load a stack and check every digest on the way.

        Args:
            pretrained_model_name_or_path: the stack's folder, or its repository on the Hugging Face hub.
            **options: ``base`` (where the base is now, if not where the manifest says), ``dtype`` (None: fp32) and
                others of transformers; see ``growlm.stack.loading.LoadOptions``.

        Returns:
            The stack in evaluation mode, all frozen, the newest module's path active.

        Raises:
            GrowlmError: for an unknown option, if the folder is not a stack, or a file or the base is not what the
                manifest says.
        """
        how = LoadOptions.of(options)
        device, folder = how.device(), how.folder(pretrained_model_name_or_path)
        stack = read_consistently(folder, lambda: cls._load(folder, how))
        return stack if device is None else nn.Module.to(stack, device)

    @classmethod
    def _load(cls, folder: FilePath, options: LoadOptions) -> Self:
        manifest = read_manifest(folder)
        stack = cls.from_base(
            options.base or manifest.base.source,
            options.torch_type(folder),
            options.tokenizer or recorded_tokenizer(folder),
            options.quantization,
        )
        where = f"base {stack.manifest.base.source!r} is not the one {folder} was grown on (give it with --base)"
        check_digests(stack.manifest.base.tensors, manifest.base.tensors, where)
        for record in manifest.modules:
            saved = folder / manifest.folder_of(record.name)
            stack._attach_saved(record, saved / TENSOR_FILE)
            stack._module_files[record.name] = saved / TENSOR_FILE
            stack._method_tensors[record.name] = saved / METHOD_FILE if record.method_tensors else {}
            own = {f"{record.name}/{name}": tensor for name, tensor in stack.module_tensors(record.name).items()}
            stack._digests |= tensor_digests(own)
        stack.manifest = manifest
        if manifest.modules:
            stack.set_path(manifest.modules[-1].path)
        stack.router = read_router(folder, stack.architecture, manifest)
        if options.attention is not None:
            stack.set_attn_implementation(options.attention)
        return stack.eval()

    # -- growing -----------------------------------------------------------------------------------------------------

    def attach(
        self,
        name: str,
        kinds: Mapping[str, ModuleKind],
        on: Sequence[str] | None = None,
        seed: int = 0,
        continues: str | None = None,
    ) -> Path:
        """Attach a new module that changes nothing yet, and activate its path.

        Args:
            name: the module's name.
            kinds: its kinds by name, such as ``{"lora": Lora(rank=8)}``.
            on: the path to grow on; None: all modules that are not superseded.
            seed: what the initial values come from.
            continues: a module whose values the new one begins with, of the same kinds; what the new one has besides
                changes nothing yet. The new path computes what that module's path does, if both are grown on the same.

        Returns:
            The new module's path.

        Raises:
            GrowlmError: if the name is taken or not a name, or a kind does not fit the base.
        """
        check_name(name, "module")
        if name == BASE:
            raise GrowlmError(f"{BASE!r} is the name of the bare base's path: choose another name for the module")
        if name in self.parents():
            raise GrowlmError(f"the stack has a module {name!r} already: choose another name, or undo it first")
        parents = normalise(self.manifest.current() if on is None else on, self.parents())
        generator = torch.Generator().manual_seed(seed)
        self._attach_parts(name, kinds, generator)
        for _, part in self._sites.parts_of(name):
            part.to(device=self.device, dtype=torch.promote_types(self.dtype, torch.float32))
        if continues is not None:
            try:
                self._copy_values(continues, name)
            except GrowlmError:
                self.detach(name)
                raise
        self._growing[name], self._growing_kinds[name] = parents, kinds
        self.train(self.training)  # new parts are what the rest is
        return self.set_path((*parents, name))

    def freeze(self, record: ModuleRecord | str, method_tensors: Mapping[str, Tensor] | None = None) -> None:
        """Freeze a growing module into the stack.

        Args:
            record: what the manifest says of it; its digests must be those of the module's tensors. Of a module that
                was trained by other means than a phase, the name is enough.
            method_tensors: what its method keeps for later phases.

        Raises:
            GrowlmError: if no such module is growing.
        """
        name = record if isinstance(record, str) else record.name
        if name not in self._growing:
            raise GrowlmError(f"no module {name!r} is growing: attach it first")
        if isinstance(record, str):
            record = outside_record(self, name, self._growing_kinds[name], {"name": "outside", "options": {}})
        del self._growing[name], self._growing_kinds[name]
        for parameter in self.module_parameters(record.name).values():
            parameter.requires_grad_(False)
        self._method_tensors[record.name] = method_tensors or {}
        self.manifest = replace(self.manifest, modules=(*self.manifest.modules, record))
        self._digests = tensor_digests(self.frozen_tensors())
        self.eval()

    def undo(self) -> ModuleRecord:
        """Remove the newest module, in memory.

        Returns:
            What the manifest said of it.

        Raises:
            GrowlmError: if there is no module.
        """
        if not self.manifest.modules:
            raise GrowlmError("the stack has no module to undo")
        *earlier, last = self.manifest.modules
        self.detach(last.name)
        if self.router is not None:
            self.router.forget(last.name)
        self.manifest = replace(self.manifest, modules=tuple(earlier))
        self._digests = tensor_digests(self.frozen_tensors())
        self.set_path(earlier[-1].path if earlier else ())
        return last

    def detach(self, name: str) -> None:
        """Remove a module's parts, and every site that holds none any more."""
        self._sites.detach(name)
        self._growing.pop(name, None)
        self._growing_kinds.pop(name, None)
        self._method_tensors.pop(name, None)
        self._module_files.pop(name, None)
        self.config.inserted_after = self._sites.inserted_after()

    # -- running -----------------------------------------------------------------------------------------------------

    def fused(
        self, *names: str, moments: Mapping[str, Mapping[str, Tensor]] | None = None
    ) -> AbstractContextManager["ModuleStack"]:
        """Run the paths of some modules as one fused change of weights, for a ``with`` block; see ``growlm.fused``."""
        return growlm.fused(self, *names, moments=moments)

    def merged(self, path: Sequence[str] | None = None) -> PreTrainedModel:
        """Build a stock model that computes what the stack does with a path active; see ``growlm.merge``.

        Its ``save_pretrained`` writes the tokenizer, too.
        """
        return with_tokenizer(growlm.merge(self, path), self.tokenizer_source)

    def train(self, mode: bool = True) -> Self:
        """Put growing modules into training mode; what is frozen stays in evaluation mode (no dropout)."""
        super().train(False)
        for name in self._growing:
            for _, part in self._sites.parts_of(name):
                part.train(mode)
        self.training = mode
        return self

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        labels: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Run the base with the active path; arguments and result are those of the base's own class.

        Raises:
            TypeError: for an argument that this class does not have.
        """
        check_arguments(kwargs, self._arguments, "ModuleStack.forward")
        use_cache = (not self.training) if use_cache is None else use_cache
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config.get_text_config())
        given = self._in_context(
            Given(input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, logits_to_keep, labels)
        )
        with self._context.forward_pass(given.num_rows, given.attention_mask):
            output = self.rows.logits(**given.arguments(), use_cache=use_cache, **kwargs)
        return cast(CausalLMOutputWithPast, given.own(output))

    def generate(self, inputs: Tensor | None = None, *args: Any, routed: bool = False, **kwargs: Any) -> Any:
        """Generate as every transformers model does, each row on a path of its own if asked for.

        Args:
            inputs: tokens of the prompts, [B, T]; padding belongs on the left, with ``attention_mask`` 0.
            *args: what ``generate`` of transformers takes besides.
            routed: let the router choose the path of each row; else all take the active path.
            **kwargs: likewise.

        Returns:
            What ``generate`` of transformers returns.

        Raises:
            GrowlmError: if the rows are to be routed and the stack has no router.
        """
        with self._generation_paths(inputs, kwargs, self.generation_config, routed):
            # a protocol of transformers that no model of its own meets
            return super().generate(inputs, *args, **kwargs)  # type: ignore[misc]

    def hidden_states(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, position_ids: Tensor | None = None
    ) -> Tensor:
        """Compute the final hidden states, before the output embedding.

        Args:
            input_ids: token ids, [B, T].
            attention_mask: 1 for tokens, 0 for padding, [B, T]; None: no padding on the left.
            position_ids: of rows that hold several documents, 0 where one begins, [B, T]; None: one document a row.

        Returns:
            Hidden states, [B, T, D].
        """
        output = self.base_model(input_ids, attention_mask, position_ids=position_ids, use_cache=False)
        return cast(Tensor, output.last_hidden_state)

    def logits(self, hidden: Tensor) -> Tensor:
        """Compute the logits of final hidden states, [..., D] to [..., V]."""
        return self.architecture.finish_logits(cast(Tensor, self.get_output_embeddings()(hidden)))

    # -- inside ------------------------------------------------------------------------------------------------------

    def _attach_parts(self, name: str, kinds: Mapping[str, ModuleKind], generator: torch.Generator | None) -> None:
        check_quantized(kinds, self.quantization)
        check_encoder_decoder(kinds, self.architecture)
        num_slots = len(self.config.inserted_after)
        built: dict[str, dict[str, Part]] = {}
        for kind, options in kinds.items():
            built[kind] = options.build(self.architecture, num_slots, generator)
            num_slots += sum(part.cache_slot is not None for part in built[kind].values())
        for kind, parts in built.items():
            self._sites.attach(name, kind, parts)
        self.config.inserted_after = self._sites.inserted_after()

    def _attach_saved(self, record: ModuleRecord, file: FilePath) -> None:
        kinds = {kind: module_kinds.build(kind, options) for kind, options in record.kinds.items()}
        tensors = read_tensors(file)
        check_digests(tensor_digests(tensors), record.tensors, str(file))
        with torch.device("meta"):  # sizes come from a file: compare them before any memory is taken
            self._attach_parts(record.name, kinds, None)
        self._load_parts(record.name, tensors, file)


AutoModelForCausalLM.register(GrowlmConfig, ModuleStack)
