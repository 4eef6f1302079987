"""The tensors of a stack: their names, their digests, and what its files hold."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from growlm.errors import GrowlmError
from growlm.files import check_digests, combined_digest, read_tensors, tensor_digests
from growlm.manifest.manifest import MODULE_FILE, BaseRecord, Manifest, ModuleRecord
from growlm.manifest.path import BASE
from growlm.modules.kind import ModuleKind
from growlm.modules.site import Part, Site, stock_tensors
from growlm.stack.sites import Sites

PartT = TypeVar("PartT", bound=Part)


class TensorMixin:
    """What a stack does with its tensors."""

    base: PreTrainedModel
    manifest: Manifest
    device: torch.device
    dtype: torch.dtype
    _sites: Sites
    _digests: dict[str, str]
    # a file is read when its tensors are asked for
    _method_tensors: dict[str, Mapping[str, Tensor] | Path]

    def sites(self) -> dict[str, Site]:
        """Return the sites by stock path of the layer or linear they wrap."""
        return self._sites.by_path()

    def base_tensors(self) -> dict[str, Tensor]:
        """Return the base's tensors by stock name."""
        return stock_tensors(self.base)

    def parts(self, name: str, kind: type[PartT]) -> dict[str, PartT]:
        """Return a module's parts of one class by the stock path of their site."""
        return {
            path: part
            for path, site in self.sites().items()
            for part in site.parts.values()
            if isinstance(part, kind) and part.owner == name
        }

    def module_parameters(self, name: str) -> dict[str, nn.Parameter]:
        """Return a module's parameters by their names in its file: ``<kind>.<stock path of the site>.<rest>``."""
        return {
            f"{prefix}.{rest}": parameter
            for prefix, part in self._sites.parts_of(name)
            for rest, parameter in part.named_parameters()
        }

    def module_tensors(self, name: str) -> dict[str, Tensor]:
        """Return a module's tensors by their names in its file: its parameters, and what it holds fixed."""
        return {
            f"{prefix}.{rest}": tensor
            for prefix, part in self._sites.parts_of(name)
            for rest, tensor in part.state_dict().items()
        }

    def method_tensors(self, name: str) -> dict[str, Tensor]:
        """Return what the method of a frozen module keeps for later phases, by the method's own names.

        Raises:
            GrowlmError: if the file it is read from is missing or is not what the manifest says.
        """
        tensors = self._method_tensors[name]
        if isinstance(tensors, Path):
            record = self.manifest.record(name)
            file, tensors = tensors, read_tensors(tensors)
            check_digests(tensor_digests(tensors), record.method_tensors, str(file))
            self._method_tensors[name] = tensors
        return dict(tensors)

    def frozen_tensors(self) -> dict[str, Tensor]:
        """Return every tensor that no phase may change: the base's, and those of all modules that are not growing."""
        tensors = {f"{BASE}/{name}": tensor for name, tensor in self.base_tensors().items()}
        for record in self.manifest.modules:
            tensors |= {f"{record.name}/{name}": tensor for name, tensor in self.module_tensors(record.name).items()}
        return tensors

    def verify(self) -> int:
        """Compare every frozen tensor in memory with what it was when it was loaded or frozen.

        Returns:
            How many tensors were checked.

        Raises:
            GrowlmError: naming the first tensor that differs.
        """
        found = tensor_digests(self.frozen_tensors())
        check_digests(found, self._digests, "memory")
        return len(found)

    def _load_parts(self, name: str, tensors: Mapping[str, Tensor], file: Path) -> None:
        """Load the values of a module whose parts were built on the meta device."""
        expected = {key: tensor.shape for key, tensor in self.module_tensors(name).items()}
        found = {key: tensor.shape for key, tensor in tensors.items()}
        if expected != found:
            key = min(key for key in {*expected, *found} if expected.get(key) != found.get(key))
            raise GrowlmError(f"{file}: tensor {key!r} does not fit the kinds in {MODULE_FILE}: restore both")
        for prefix, part in self._sites.parts_of(name):
            values = {rest: tensors[f"{prefix}.{rest}"] for rest in part.state_dict()}
            part.load_state_dict(values, assign=True)
            part.to(device=self.device, dtype=self.dtype).requires_grad_(False)

    @torch.no_grad()
    def _copy_values(self, source: str, target: str) -> None:
        """Copy all of a module's values into another one, which may have more tensors besides."""
        values, tensors = self.module_tensors(source), self.module_tensors(target)
        if any(key not in tensors or tensors[key].shape != value.shape for key, value in values.items()):
            raise GrowlmError(f"module {source!r} has other kinds or options: give the same ones to continue it")
        for key, value in values.items():
            tensors[key].copy_(value)


def base_record(base: PreTrainedModel, source: str) -> BaseRecord:
    """Describe a base for the manifest.

    Args:
        base: the stock model as it is stored.
        source: where it was loaded from.
    """
    tensors = tensor_digests(stock_tensors(base))
    return BaseRecord(
        source=source,
        model_type=base.config.model_type,
        parameters=sum(parameter.numel() for parameter in base.parameters()),
        tensors=tensors,
        digest=combined_digest(tensors),
    )


def outside_record(
    stack: Any, name: str, kinds: Mapping[str, ModuleKind], method: Mapping[str, Any], **fields: Any
) -> ModuleRecord:
    """Describe a growing module that no phase trained: imported, or trained by a loop or trainer of one's own.

    Args:
        stack: the ``ModuleStack``.
        name: the module's name.
        kinds: its kinds.
        method: name and options of where its values come from.
        **fields: further fields of the record.

    Returns:
        The record.
    """
    tensors = tensor_digests(stack.module_tensors(name))
    return ModuleRecord(
        name=name,
        kinds={kind: options.options() for kind, options in kinds.items()},
        parents=stack.parents()[name],
        skill={},
        method=dict(method),
        seed=0,
        recipe={},
        parameters=sum(parameter.numel() for parameter in stack.module_parameters(name).values()),
        tensors=tensors,
        digest=combined_digest(tensors),
        **fields,
    )
