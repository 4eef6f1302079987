"""The stack: a frozen base and the modules grown on it."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from growlm.base.architecture import Architecture
from growlm.base.load import load_base, load_tokenizer
from growlm.errors import GrowlmError
from growlm.files import check_digests, check_name, combined_digest, read_tensors, tensor_digests
from growlm.manifest import store
from growlm.manifest.config import GrowlmConfig
from growlm.manifest.manifest import (
    METHOD_FILE,
    MODULE_FILE,
    TENSOR_FILE,
    BaseRecord,
    Manifest,
    ModuleRecord,
    read_consistently,
    read_manifest,
)
from growlm.manifest.path import BASE, Parents, Path, normalise, own_path
from growlm.merging.fusion import Moments, fuse
from growlm.modules.kind import ModuleKind
from growlm.modules.site import Part, Site, Switch, stock_name
from growlm.registry import module_kinds
from growlm.routing.router_file import StackRouter, read_router, router_files
from growlm.routing.rows import routed_rows
from growlm.stack.offload import Offload
from growlm.stack.sites import Sites


class ModuleStack(PreTrainedModel, GenerationMixin):
    """A frozen base with modules attached at its sites; a transformers model that can generate.

    Make one with ``from_base`` or ``from_pretrained``. A new stack's active path is the bare base; a loaded one's is
    the path of its newest module.

    Args:
        config: the stack's config.
        base: the stock model; sites are put into it, its weights are never touched.
        base_record: what the manifest says of the base.
        digests: digests of the base's tensors as they are in memory; None: they are computed.
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
        self.manifest = Manifest(base_record)
        self._switch = Switch()
        self._sites = Sites(self.base, self._switch)
        self.router: StackRouter | None = None
        self._offload: Offload | None = None
        self._growing: dict[str, Path] = {}
        # a file stands for tensors that nobody has asked for yet
        self._method_tensors: dict[str, Mapping[str, Tensor] | FilePath] = {}
        digests = tensor_digests(self.base_tensors()) if digests is None else digests
        self._digests = {f"base/{name}": digest for name, digest in digests.items()}
        self.generation_config = base.generation_config

    # -- making ------------------------------------------------------------------------------------------------------

    @classmethod
    def from_base(cls, source: str, dtype: torch.dtype = torch.float32) -> Self:
        """Begins a stack on a base.

        Args:
            source: name of a shipped base, a folder, or a Hugging Face model id.
            dtype: what the weights are held in.

        Returns:
            A stack without modules.

        Raises:
            GrowlmError: if there is no such base, or its architecture is not supported.
        """
        base = load_base(source, dtype="auto")  # digests are of the tensors as stored
        tensors = tensor_digests(_base_tensors(base))
        record = BaseRecord(
            source=source,
            model_type=base.config.model_type,
            parameters=sum(parameter.numel() for parameter in base.parameters()),
            tensors=tensors,
            digest=combined_digest(tensors),
        )
        config = GrowlmConfig(
            base_config=base.config.to_dict(),
            vocab_size=base.config.vocab_size,
            tie_word_embeddings=False,  # the base ties its own
        )
        stored_dtypes = {parameter.dtype for parameter in base.parameters()}
        nn.Module.to(base, dtype)
        return cls(config, base, record, tensors if stored_dtypes == {dtype} else None)

    @classmethod
    def from_pretrained(  # type: ignore[override]  # a stack needs none of the stock loader's options
        cls,
        pretrained_model_name_or_path: str | FilePath,
        *,
        base: str | None = None,
        dtype: torch.dtype | None = None,
        **kwargs: Any,
    ) -> Self:
        """Loads a stack and checks every digest on the way.

        Args:
            pretrained_model_name_or_path: the stack's folder.
            base: where the base is now, if not where the manifest says.
            dtype: what the weights are held in; None: fp32.
            **kwargs: what the Auto classes pass on (``config`` and their own flags); not used.

        Returns:
            The stack in evaluation mode, all frozen, the newest module's path active.

        Raises:
            GrowlmError: if the folder is no stack, or a file or the base is not what the manifest says.
        """
        folder = FilePath(pretrained_model_name_or_path)
        return read_consistently(folder, lambda: cls._load(folder, base, dtype or torch.float32))

    @classmethod
    def _load(cls, folder: FilePath, base: str | None, dtype: torch.dtype) -> Self:
        manifest = read_manifest(folder)
        stack = cls.from_base(base or manifest.base.source, dtype)
        where = f"base {stack.manifest.base.source!r} is not the one {folder} was grown on (give it with --base)"
        check_digests(stack.manifest.base.tensors, manifest.base.tensors, where)
        for record in manifest.modules:
            saved = folder / manifest.folder_of(record.name)
            stack._attach_saved(record, saved / TENSOR_FILE)
            stack._method_tensors[record.name] = saved / METHOD_FILE if record.method_tensors else {}
            own = {f"{record.name}/{name}": tensor for name, tensor in stack.module_tensors(record.name).items()}
            stack._digests |= tensor_digests(own)
        stack.manifest = manifest
        if manifest.modules:
            stack.set_path(manifest.modules[-1].path)
        stack.router = read_router(folder, stack)
        return stack.eval()

    def save_pretrained(self, save_directory: str | FilePath, **kwargs: Any) -> None:  # type: ignore[override]
        """Writes the stack into a folder: its modules and manifest, not the base.

        Args:
            save_directory: the folder; a stack that is there already must be an earlier state of this one.
            **kwargs: what transformers may pass on; not used.

        Raises:
            GrowlmError: if a module is not frozen yet, or another stack is there.
        """
        if self._growing:
            raise GrowlmError(f"module {next(iter(self._growing))!r} is still growing: freeze it before saving")
        store.save(
            FilePath(save_directory),
            self.manifest,
            self.config_upto,
            self.module_tensors,
            self.method_tensors,
            lambda manifest: router_files(self.router, manifest),
        )

    def config_upto(self, manifest: Manifest) -> GrowlmConfig:
        """Gives the config of the stack with the modules of a manifest only."""
        config = copy.deepcopy(self.config)
        config.inserted_after = self._sites.inserted_after(manifest.parents())
        return config

    # -- growing -----------------------------------------------------------------------------------------------------

    def attach(
        self,
        name: str,
        kinds: Mapping[str, ModuleKind],
        on: Sequence[str] | None = None,
        seed: int = 0,
        continues: str | None = None,
    ) -> Path:
        """Attaches a new module that changes nothing yet, and activates its path.

        Args:
            name: the module's name.
            kinds: its kinds by name, such as ``{"lora": Lora(rank=8)}``.
            on: the path to grow on; None: all modules that are not superseded.
            seed: what the initial values come from.
            continues: a module of the same kinds whose values the new one begins with; the new path computes what that
                module's path does, if both are grown on the same.

        Returns:
            The new module's path.

        Raises:
            GrowlmError: if the name is taken or no name, or a kind does not fit the base.
        """
        check_name(name, "module")
        if name == BASE or name in self.parents():
            raise GrowlmError(f"the stack has a module {name!r} already: choose another name, or undo it first")
        parents = normalise(self.manifest.current() if on is None else on, self.parents())
        generator = torch.Generator().manual_seed(seed)
        self._attach_parts(name, kinds, generator)
        for _, part in self._sites.parts_of(name):
            part.to(device=self.device, dtype=torch.float32)
        if continues is not None:
            self._copy_values(continues, name)
        self._growing[name] = parents
        self.train(self.training)  # new parts are what the rest is
        return self.set_path((*parents, name))

    def freeze(self, record: ModuleRecord, method_tensors: Mapping[str, Tensor] | None = None) -> None:
        """Freezes a growing module into the stack.

        Args:
            record: what the manifest is to say of it; its digests must be those of the module's tensors.
            method_tensors: what its method keeps for later phases.

        Raises:
            GrowlmError: if no such module is growing.
        """
        if record.name not in self._growing:
            raise GrowlmError(f"no module {record.name!r} is growing: attach it first")
        del self._growing[record.name]
        for parameter in self.module_parameters(record.name).values():
            parameter.requires_grad_(False)
        self._method_tensors[record.name] = method_tensors or {}
        self.manifest = replace(self.manifest, modules=(*self.manifest.modules, record))
        self._digests = tensor_digests(self.frozen_tensors())
        self.eval()

    def undo(self) -> ModuleRecord:
        """Takes the newest module off again, in memory.

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
        """Removes a module's parts; a site that holds none any more gives its place back to the original."""
        self._sites.detach(name)
        self._growing.pop(name, None)
        self._method_tensors.pop(name, None)
        self.config.inserted_after = self._sites.inserted_after()
        self._switch.active = tuple(active for active in self._switch.active if active != name)

    def verify(self) -> int:
        """Compares every frozen tensor in memory with what it was when it was loaded or frozen.

        Returns:
            How many tensors were checked.

        Raises:
            GrowlmError: naming the first tensor that differs.
        """
        found = tensor_digests(self.frozen_tensors())
        check_digests(found, self._digests, "memory")
        return len(found)

    # -- paths -------------------------------------------------------------------------------------------------------

    def parents(self) -> Parents:
        """Gives, for each module in order of growth, the path it was grown on."""
        return {**self.manifest.parents(), **self._growing}

    @property
    def path(self) -> Path:
        """The active path."""
        return self._switch.active

    def path_of(self, skill: str) -> Path:
        """Gives the path that answers for a skill: that of its module, or of the one that superseded it.

        Raises:
            GrowlmError: if no module has that name.
        """
        return () if skill == BASE else own_path(self.manifest.newest_version(skill), self.parents())

    def set_path(self, path: Sequence[str], closed: bool = True) -> Path:
        """Activates a path until it is changed again.

        Args:
            path: names of modules; ``()`` is the bare base.
            closed: refuse a path that lacks what one of its modules was grown on. False is for looking at what a
                module does alone.

        Returns:
            The path in order of growth.

        Raises:
            GrowlmError: for an unknown name, or a path that is not closed.
        """
        parents = self.parents() if closed else dict.fromkeys(self.parents(), ())
        self._switch.active = normalise(path, parents)
        self._switch.rows = {}
        return self._switch.active

    @contextmanager
    def active(self, *names: str, closed: bool = True) -> Iterator[Self]:
        """Activates a path for a ``with`` block; see ``set_path``."""
        before, rows = self._switch.active, self._switch.rows
        self.set_path(names, closed)
        try:
            yield self
        finally:
            self._switch.active, self._switch.rows = before, rows

    @contextmanager
    def active_rows(self, paths: Sequence[Sequence[str]]) -> Iterator[Self]:
        """Activates a path of its own for every row of a batch, for a ``with`` block.

        Args:
            paths: B paths; a row sees exactly nothing of a module that is not on its path.
        """
        rows = [normalise(path, self.parents()) for path in paths]
        union = normalise(tuple({name for path in rows for name in path}), self.parents())
        before = self._switch.active, self._switch.rows
        self._switch.active = union
        self._switch.rows = {
            name: torch.tensor([name in path for path in rows], device=self.device)
            for name in union
            if not all(name in path for path in rows)
        }
        try:
            yield self
        finally:
            self._switch.active, self._switch.rows = before

    # -- running -----------------------------------------------------------------------------------------------------

    def merge_frozen(self, offload_to: FilePath | None = None) -> None:
        """Lets each site run the frozen changes of weights on the active path as one, until ``unmerge``.

        A step of training then costs the same, however many modules it stands on. Only while this very path is active;
        what is computed is the same up to rounding.

        Args:
            offload_to: folder that tensors which do not run are mapped from until ``unmerge``; None: all stays in
                memory.
        """
        self.unmerge()
        for site in self.sites().values():
            site.merge_frozen(self._growing)
        if offload_to is not None:
            self._offload = Offload(self._sites.unused_tensors(), offload_to)

    def unmerge(self) -> None:
        """Lets every part run by itself again."""
        for site in self.sites().values():
            site.unmerge()
        if self._offload is not None:
            self._offload.restore()
            self._offload = None

    @contextmanager
    def frozen_merged(self) -> Iterator[Self]:
        """Folds for a ``with`` block; see ``merge_frozen``."""
        self.merge_frozen()
        try:
            yield self
        finally:
            self.unmerge()

    @contextmanager
    def fused(self, *names: str, moments: Moments | None = None) -> Iterator[Self]:
        """Lets the paths of some modules run as one fused change of weights, for a ``with`` block.

        Args:
            *names: the modules, each for the skill that it was grown for; what they were grown on comes with them.
            moments: for each of them, the second moments of the inputs on its own path; None: what its method kept, or
                measured on the skill's examples.

        Raises:
            GrowlmError: for an unknown name, a module that is no change of weights, or moments that are not to be had.
        """
        with self.active():
            try:
                fuse(self, names, moments)
                yield self
            finally:
                self.unmerge()

    def train(self, mode: bool = True) -> Self:
        """Puts growing modules into training mode; whatever is frozen stays in evaluation mode (no dropout)."""
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
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Runs the base with the active path; arguments and result are those of the base's own class."""
        use_cache = (not self.training) if use_cache is None else use_cache
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config.get_text_config())
        with self._switch.masked(attention_mask):
            output = self.base(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=position_ids,
                past_key_values=past_key_values,
                inputs_embeds=inputs_embeds,
                use_cache=use_cache,
                logits_to_keep=logits_to_keep,
                **kwargs,
            )
        return cast(CausalLMOutputWithPast, output)

    def generate(self, inputs: Tensor | None = None, *args: Any, routed: bool = False, **kwargs: Any) -> Any:
        """Generates as every transformers model does, each row on a path of its own if asked for.

        Args:
            inputs: tokens of the prompts, [B, T]; padding belongs on the left, with ``attention_mask`` 0.
            *args: what ``generate`` of transformers takes besides.
            routed: let the router choose the path of each row; else all go by the active path.
            **kwargs: likewise.

        Returns:
            What ``generate`` of transformers returns.

        Raises:
            GrowlmError: if the rows are to be routed and the stack has no router.
        """
        with routed_rows(self, inputs, kwargs) if routed else nullcontext():
            # a protocol of transformers that no model of its own meets
            return super().generate(inputs, *args, **kwargs)  # type: ignore[misc]

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Computes the final hidden states, before the output embedding.

        Args:
            input_ids: token ids, [B, T].
            attention_mask: 1 for tokens, 0 for padding, [B, T]; None: no padding on the left.

        Returns:
            Hidden states, [B, T, D].
        """
        with self._switch.masked(attention_mask):
            output = self.base.base_model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        return cast(Tensor, output.last_hidden_state)

    def logits(self, hidden: Tensor) -> Tensor:
        """Computes the logits of final hidden states, [..., D] to [..., V]."""
        return cast(Tensor, self.get_output_embeddings()(hidden))

    def get_input_embeddings(self) -> nn.Module:
        """Gives the base's token embedding."""
        return cast(nn.Module, self.base.get_input_embeddings())

    def get_output_embeddings(self) -> nn.Module:
        """Gives the base's output embedding."""
        return cast(nn.Module, self.base.get_output_embeddings())

    def merged(self, path: Sequence[str] | None = None) -> PreTrainedModel:
        """Builds a stock model that computes what the stack computes with a path active; see ``stack/merge.py``."""
        from growlm.merging.merge import merge

        return merge(self, self.path if path is None else normalise(path, self.parents()))

    @property
    def tokenizer(self) -> Any:
        """The base's tokenizer."""
        if not hasattr(self, "_tokenizer"):
            self._tokenizer = load_tokenizer(self._base_source)
        return self._tokenizer

    # -- tensors -----------------------------------------------------------------------------------------------------

    def base_tensors(self) -> dict[str, Tensor]:
        """Gives the base's tensors by stock name."""
        return _base_tensors(self.base)

    def module_parameters(self, name: str) -> dict[str, nn.Parameter]:
        """Gives a module's parameters by the names they are saved under: ``<kind>.<stock path of the site>.<rest>``."""
        return {
            f"{prefix}.{rest}": parameter
            for prefix, part in self._sites.parts_of(name)
            for rest, parameter in part.named_parameters()
        }

    def module_tensors(self, name: str) -> dict[str, Tensor]:
        """Gives a module's tensors by the names they are saved under: its parameters, and what it holds fixed."""
        return {
            f"{prefix}.{rest}": tensor
            for prefix, part in self._sites.parts_of(name)
            for rest, tensor in part.state_dict().items()
        }

    def method_tensors(self, name: str) -> dict[str, Tensor]:
        """Gives what the method of a frozen module keeps for later phases, by the method's own names.

        Raises:
            GrowlmError: if the file it is read from is missing or is not what the manifest says.
        """
        tensors = self._method_tensors[name]
        if isinstance(tensors, FilePath):
            record = next(record for record in self.manifest.modules if record.name == name)
            file, tensors = tensors, read_tensors(tensors)
            check_digests(tensor_digests(tensors), record.method_tensors, str(file))
            self._method_tensors[name] = tensors
        return dict(tensors)

    def frozen_tensors(self) -> dict[str, Tensor]:
        """Gives every tensor that no phase may move: the base's, and those of all modules that are not growing."""
        tensors = {f"base/{name}": tensor for name, tensor in self.base_tensors().items()}
        for record in self.manifest.modules:
            tensors |= {f"{record.name}/{name}": tensor for name, tensor in self.module_tensors(record.name).items()}
        return tensors

    def sites(self) -> dict[str, Site]:
        """Gives the sites by stock path of the layer or linear they wrap."""
        return self._sites.by_path()

    def _repr_html_(self) -> str:
        """Draws the stack in a notebook."""
        from growlm.manifest.html import stack_html

        return stack_html(self.manifest)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _attach_parts(self, name: str, kinds: Mapping[str, ModuleKind], generator: torch.Generator | None) -> None:
        num_slots = len(self.config.inserted_after)
        built: dict[str, dict[str, Part]] = {}
        for kind, options in kinds.items():
            built[kind] = options.build(self.architecture, num_slots, generator)
            num_slots += sum(part.cache_slot is not None for part in built[kind].values())
        for kind, parts in built.items():
            self._sites.attach(name, kind, parts)
        self.config.inserted_after = self._sites.inserted_after()

    @torch.no_grad()
    def _copy_values(self, source: str, target: str) -> None:
        values, tensors = self.module_tensors(source), self.module_tensors(target)
        if {key: value.shape for key, value in values.items()} != {key: own.shape for key, own in tensors.items()}:
            self.detach(target)
            raise GrowlmError(f"module {source!r} has other kinds or options: give the same ones to go on from it")
        for key, tensor in tensors.items():
            tensor.copy_(values[key])

    def _attach_saved(self, record: ModuleRecord, file: FilePath) -> None:
        kinds = {kind: module_kinds.build(kind, options) for kind, options in record.kinds.items()}
        tensors = read_tensors(file)
        check_digests(tensor_digests(tensors), record.tensors, str(file))
        with torch.device("meta"):  # sizes come from a file: compare them before any memory is taken
            self._attach_parts(record.name, kinds, None)
        expected = {key: tensor.shape for key, tensor in self.module_tensors(record.name).items()}
        found = {key: tensor.shape for key, tensor in tensors.items()}
        if expected != found:
            key = min(key for key in {*expected, *found} if expected.get(key) != found.get(key))
            raise GrowlmError(f"{file}: tensor {key!r} does not fit the kinds in {MODULE_FILE}: restore both")
        for prefix, part in self._sites.parts_of(record.name):
            values = {rest: tensors[f"{prefix}.{rest}"] for rest in part.state_dict()}
            part.load_state_dict(values, assign=True)
            part.to(device=self.device, dtype=self.dtype).requires_grad_(False)


def _base_tensors(base: nn.Module) -> dict[str, Tensor]:
    """Gives a stock model's parameters by stock name; tied ones once, parts of modules not at all."""
    return {
        stock_name(name): parameter.detach() for name, parameter in base.named_parameters() if ".parts." not in name
    }


AutoConfig.register(GrowlmConfig.model_type, GrowlmConfig)
AutoModelForCausalLM.register(GrowlmConfig, ModuleStack)
