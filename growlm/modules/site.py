"""The one wrapper per attach point: a site runs the original and then the active parts attached to it."""

import copy
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from growlm.base.quantize import is_quantized, plain_tensors
from growlm.errors import GrowlmError
from growlm.modules.context import ForwardContext


class Part(nn.Module):
    """What one kind of one module adds at one site.

    Subclasses define ``forward(inputs, output, *args, **kwargs)``: from the site's inputs and its output so far to
    its new output. A new part returns ``output`` unchanged, bit for bit.

    Attributes:
        cache_slot: the part's own slot in the key-value cache, if it needs one.
        mergeable: whether a stock model can compute what the part does.
        owner: the module that the part belongs to; set when it is attached.
        context: what the sites of the model share; set when it is attached.
    """

    cache_slot: int | None = None
    mergeable: bool = True
    owner: str
    context: ForwardContext

    @property
    def dtype(self) -> torch.dtype | None:
        """What the part's parameters are held in; None: it has none."""
        return next((parameter.dtype for parameter in self.parameters()), None)

    def fused_forward(self, layer: nn.Module, inputs: Tensor) -> Tensor | None:
        """Run the layer and the part at once, where that is cheaper than one after the other.

        Args:
            layer: the layer at the part's site.
            inputs: what the layer gets, [..., I].

        Returns:
            The new output, [..., O]; None: run them one after the other.
        """
        return None

    def delta_weight(self) -> Tensor:
        """Compute what the part adds to the weight of its linear, [O, I].

        Raises:
            GrowlmError: if the part is not a change of a weight.
        """
        raise GrowlmError(f"{type(self).__name__} is not a change of a weight and cannot be merged into one")

    def deltas(self, original: nn.Module) -> dict[str, Tensor]:
        """Compute what the part adds to the parameters of its site's layer.

        Args:
            original: the site's layer.

        Returns:
            By parameter name, the difference in that parameter's own layout.

        Raises:
            GrowlmError: if the part is not a change of weights.
        """
        delta_OI = self.delta_weight()
        return {"weight": delta_OI.T if isinstance(original, Conv1D) else delta_OI}

    def inserted_layer(self) -> nn.Module:
        """Return the stock decoder layer that the part runs after its site's layer.

        Raises:
            GrowlmError: if the part is not a decoder layer.
        """
        raise GrowlmError(f"{type(self).__name__} is not a decoder layer and cannot be merged as one")


@dataclass(frozen=True)
class MergedLayer:
    """A copy of a site's layer with changed weights, which runs instead of the original while one path is active.

    Args:
        layer: the copy, in a tuple, so that it is not a submodule: it is never listed, saved or moved.
        keys: the parts that it replaces.
        modules: the path: the modules that were active when it was made.
        fused: whether it is a fused change of weights, not the sum of the parts' changes.
    """

    layer: tuple[nn.Module]
    keys: frozenset[str]
    modules: tuple[str, ...]
    fused: bool = False


class Site(nn.Module):
    """Wraps a layer or linear of the base and holds any number of named parts.

    Args:
        original: the wrapped layer or linear; it stays as it is.
        context: what the sites of the model share.

    Attributes:
        merged: the copy that runs instead of the original and some parts, if there is one.
        compiled_for: the layer and the parts that compiled code runs; None: it asks for the active path.
    """

    def __init__(self, original: nn.Module, context: ForwardContext) -> None:
        super().__init__()
        self.original = original
        self.parts = nn.ModuleDict()
        self.merged: MergedLayer | None = None
        self.compiled_for: tuple[nn.Module, tuple[Part, ...]] | None = None
        self._context = context

    def merge_frozen(self, growing: Container[str]) -> None:
        """Add the changes of weights that come first on the active path to a copy of the original, until ``unmerge``.

        While this very path is active the copy runs instead of the original and these parts: a pass costs the same,
        however many there are. What it computes is the same up to rounding. A layer that is fused for this path stays.

        Args:
            growing: modules whose parts still change.
        """
        merged = self.merged_for_path()
        if (merged is not None and merged.fused) or is_quantized(self.original):
            return
        self.unmerge()
        layer: nn.Module | None = None
        keys: list[str] = []
        for key, part in self._active_parts():
            deltas = _deltas(part, self.original) if part_owner(key) not in growing else {}
            if not deltas:
                break
            layer = _changed(layer or copy.deepcopy(self.original), deltas)
            keys.append(key)
        if layer is not None:
            self.merged = MergedLayer((layer,), frozenset(keys), self._context.path.modules)

    def changes(self) -> dict[str, dict[str, Tensor]]:
        """Compute what each module on the active path adds to the parameters of the original.

        Returns:
            By module and parameter name, the difference; modules without a part here are left out.

        Raises:
            GrowlmError: if a part is not a change of weights.
        """
        self.check_fusable()
        changes: dict[str, dict[str, Tensor]] = {}
        for key, part in self._active_parts():
            deltas = _deltas(part, self.original)
            own = changes.setdefault(part_owner(key), {})
            for name, delta in deltas.items():
                own[name] = own[name] + delta if name in own else delta
        return changes

    def check_fusable(self) -> None:
        """Raise GrowlmError if a part on the active path is not a change of weights."""
        for key, part in self._active_parts():
            if not _is_change(part):
                raise GrowlmError(
                    f"module {part_owner(key)!r} has a {part_kind(key)}, which is not a change of weights and cannot "
                    "be fused: give a path without it, or use its modules side by side"
                )

    def override_weights(self, deltas: Mapping[str, Tensor]) -> None:
        """Run a copy of the original with changed weights instead of the original and every part, until ``unmerge``.

        It runs only while the path that is active now is active.

        Args:
            deltas: by parameter name, what is added.
        """
        layer = _changed(copy.deepcopy(self.original), deltas)
        keys = frozenset(key for key, _ in self._active_parts())
        self.merged = MergedLayer((layer,), keys, self._context.path.modules, fused=True)

    def unmerge(self) -> None:
        """Run the original and every part by themselves again."""
        self.merged = None

    def merged_layer(self) -> nn.Module | None:
        """Return the layer that computes all of the active path here, if one layer does."""
        merged = self.merged_for_path()
        if merged is None or merged.keys != {key for key, _ in self._active_parts()}:
            return None
        return merged.layer[0]

    def merged_for_path(self) -> MergedLayer | None:
        """Return the merged layer that runs with the active path, if there is one."""
        path = self._context.path
        return self.merged if self.merged is not None and self.merged.modules == path.modules else None

    def unused_modules(self) -> Iterator[nn.Module]:
        """Yield what does not run as long as the active path stays and is merged: the original, or parts."""
        merged = self.merged_for_path()
        if merged is not None:
            yield self.original
        for key, part in self.parts.items():
            if part_owner(key) not in self._context.path.modules or (merged is not None and key in merged.keys):
                yield part

    def running(self) -> tuple[nn.Module, tuple[Part, ...]]:
        """Return what runs with the active path: the original or its merged copy, and the parts after it."""
        merged = None if self._context.path.rows else self.merged_for_path()
        layer = self.original if merged is None else merged.layer[0]
        return layer, tuple(part for key, part in self._active_parts() if merged is None or key not in merged.keys)

    def forward(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Run the original, then the active parts in order of growth.

        Args:
            inputs: what the original gets first: hidden states [B, T, D] or a linear's input [..., I].
            *args: what else the original gets.
            **kwargs: what else the original gets.

        Returns:
            What the original returns, with the parts' changes in its (first) tensor.
        """
        compiled = self.compiled_for if torch.compiler.is_compiling() else None
        layer, parts = compiled or self.running()
        rows: Mapping[str, Tensor] = {} if compiled else self._context.path.rows
        result = parts[0].fused_forward(layer, inputs) if parts and not rows else None
        if result is None:
            result = layer(inputs, *args, **kwargs)
        else:
            parts = parts[1:]
        output = result[0] if isinstance(result, tuple) else result
        for part in parts:
            changed = _run(part, inputs, output, *args, **kwargs)
            mask_B = rows.get(part.owner)
            if mask_B is not None:
                # some bases show a layer all tokens of a batch in one row; positions are one row for all of a batch
                mask = mask_B.repeat_interleave(max(1, len(changed) // len(mask_B)))
                changed = torch.where(mask.view(-1, *[1] * (changed.dim() - 1)), changed, output)
            output = changed
        return (output, *result[1:]) if isinstance(result, tuple) else output

    def _active_parts(self) -> Iterator[tuple[str, Part]]:
        modules = self._context.path.modules
        return ((key, cast(Part, part)) for key, part in self.parts.items() if part_owner(key) in modules)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the original: stock code asks layers and linears for attributes of theirs."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("original"), name)


def _run(part: Part, inputs: Tensor, output: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Run a part, in the precision of a base that is held in half precision while the part is not."""
    dtype, device = output.dtype, output.device.type
    half = dtype in (torch.bfloat16, torch.float16)
    if not half or part.dtype in (None, dtype) or torch.is_autocast_enabled(device):
        return cast(Tensor, part(inputs, output, *args, **kwargs))
    with torch.autocast(device, dtype=dtype):
        return cast(Tensor, part(inputs, output, *args, **kwargs)).to(dtype)


def _deltas(part: Part, original: nn.Module) -> dict[str, Tensor]:
    """Compute what a part adds to the weights of its site's layer; nothing if it is not a change of weights."""
    if not _is_change(part):
        return {}
    with torch.no_grad():
        return part.deltas(original)


def _is_change(part: Part) -> bool:
    return part.mergeable and part.cache_slot is None


def _changed(layer: nn.Module, deltas: Mapping[str, Tensor]) -> nn.Module:
    for name, delta in deltas.items():
        layer.get_parameter(name).data += delta
    return layer


# -- names: no other file knows how a site names what it wraps and holds ----------------------------------------------


def part_key(name: str, kind: str) -> str:
    """Return the name of a part within its site, from the module it belongs to and its kind."""
    return f"{name}:{kind}"


def part_owner(key: str) -> str:
    """Return the module that a part belongs to."""
    return key.partition(":")[0]


def part_kind(key: str) -> str:
    """Return the kind of a part."""
    return key.partition(":")[2]


def is_in_part(name: str) -> bool:
    """Return whether a parameter or module, by its name in a model with sites, belongs to a part."""
    return ".parts." in f".{name}."


def stock_name(name: str) -> str:
    """Return the name that a parameter or module of the base has without sites."""
    return name.replace(".original", "")


def stock_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters of a model, with or without sites, by stock name; tied ones once, those of parts not."""
    return {
        name: tensor
        for parameter_name, parameter in model.named_parameters()
        if not is_in_part(parameter_name)
        for name, tensor in plain_tensors(stock_name(parameter_name), parameter).items()
    }
