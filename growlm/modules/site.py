"""The one wrapper per attach point: a site runs the original and then the active parts attached to it."""

import copy
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from growlm.errors import GrowlmError


class Switch:
    """Which modules are active, shared by all sites of one stack.

    Attributes:
        active: names of the active modules, in order of growth.
        rows: for each active module, which rows of the batch have it on their path, Bool[B]; a module that is
            missing here acts on all rows.
        mask: in a pass, 1 for tokens and 0 for padding on the left, [B, S]; None: there is none.
        notes: what parts leave for others that run later in the same pass, by a name of their kind's own.
    """

    def __init__(self) -> None:
        self.active: tuple[str, ...] = ()
        self.rows: dict[str, Tensor] = {}
        self.mask: Tensor | None = None
        self.notes: dict[str, Any] = {}

    @contextmanager
    def masked(self, mask: Tensor | None) -> Iterator[None]:
        """Tells the parts which tokens of a pass are padding, for a ``with`` block."""
        before, self.mask = self.mask, mask
        try:
            yield
        finally:
            self.mask = before


class Part(nn.Module):
    """What one kind of one module adds at one site.

    Subclasses define ``forward(inputs, output, *args, **kwargs)``: from the site's inputs and its output so far to
    its new output. A new part returns ``output`` unchanged, bit for bit.

    Attributes:
        cache_slot: the part's own slot in the key-value cache, if it needs one.
        mergeable: whether a stock model can compute what the part does.
        owner: the module that the part belongs to; set when it is attached.
        switch: the stack's switch; likewise.
    """

    cache_slot: int | None = None
    mergeable: bool = True
    owner: str
    switch: Switch

    def fused_forward(self, layer: nn.Module, inputs: Tensor) -> Tensor | None:
        """Runs the layer and the part at once, where that is cheaper than one after the other.

        Args:
            layer: the layer that the part stands at.
            inputs: what the layer gets, [..., I].

        Returns:
            The new output, [..., O]; None: they are to be run one after the other.
        """
        return None

    def delta_weight(self) -> Tensor:
        """Computes what the part adds to the weight of its linear, [O, I].

        Raises:
            GrowlmError: if the part is not a change of a weight.
        """
        raise GrowlmError(f"{type(self).__name__} is not a change of a weight and cannot be merged into one")

    def deltas(self, original: nn.Module) -> dict[str, Tensor]:
        """Computes what the part adds to the parameters of its site's layer.

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
        """Gives the stock decoder layer that the part runs after its site's layer.

        Raises:
            GrowlmError: if the part is not a decoder layer.
        """
        raise GrowlmError(f"{type(self).__name__} is not a decoder layer and cannot be merged as one")


@dataclass(frozen=True)
class _Folded:
    """A copy of a site's layer with parts added to its weights.

    Args:
        layer: the copy, in a tuple, so that it is no submodule: it is never listed, saved or moved.
        keys: the parts that are in it.
        active: the modules that were active then.
    """

    layer: tuple[nn.Module]
    keys: frozenset[str]
    active: tuple[str, ...]


def _deltas(part: nn.Module, original: nn.Module) -> dict[str, Tensor]:
    """Gives what a part adds to the weights of its site's layer; nothing if it is no change of weights."""
    assert isinstance(part, Part)
    if not part.mergeable or part.cache_slot is not None:
        return {}
    with torch.no_grad():
        return part.deltas(original)


def _changed(layer: nn.Module, deltas: Mapping[str, Tensor]) -> nn.Module:
    for name, delta in deltas.items():
        layer.get_parameter(name).data += delta
    return layer


class Site(nn.Module):
    """Wraps a layer or linear of the base and holds any number of named parts.

    Args:
        original: the wrapped layer or linear; it stays as it is.
        switch: the stack's switch.
    """

    def __init__(self, original: nn.Module, switch: Switch) -> None:
        super().__init__()
        self.original = original
        self.parts = nn.ModuleDict()
        self._switch = switch
        self._folded: _Folded | None = None

    def merge_frozen(self, growing: Container[str]) -> None:
        """Adds the changes of weights that come first on the active path to a copy of the original, until ``unmerge``.

        While this very path is active the copy runs in place of the original and these parts: a pass costs the same,
        however many there are. What it computes is the same up to rounding.

        Args:
            growing: modules whose parts still change.
        """
        self.unmerge()
        layer: nn.Module | None = None
        keys: list[str] = []
        for key, part in self.parts.items():
            if part_owner(key) not in self._switch.active:
                continue
            deltas = _deltas(part, self.original) if part_owner(key) not in growing else {}
            if not deltas:
                break
            layer = _changed(layer or copy.deepcopy(self.original), deltas)
            keys.append(key)
        if layer is not None:
            self._folded = _Folded((layer,), frozenset(keys), self._switch.active)

    def changes(self) -> dict[str, dict[str, Tensor]]:
        """Gives what each module on the active path adds to the parameters of the original.

        Returns:
            By module and parameter name, the difference; modules without a part here are left out.

        Raises:
            GrowlmError: if a part is no change of weights.
        """
        changes: dict[str, dict[str, Tensor]] = {}
        for key, part in self.parts.items():
            if part_owner(key) in self._switch.active:
                deltas = _deltas(part, self.original)
                if not deltas:
                    raise GrowlmError(
                        f"module {part_owner(key)!r} has a {part_kind(key)}, which is no change of weights and cannot "
                        "be fused: give a path without it, or use its modules side by side"
                    )
                own = changes.setdefault(part_owner(key), {})
                for name, delta in deltas.items():
                    own[name] = own[name] + delta if name in own else delta
        return changes

    def override_weights(self, deltas: Mapping[str, Tensor]) -> None:
        """Lets a copy of the original with changed weights run in place of everything here, until ``unmerge``.

        While this very path is active, that is; no part of it runs then.

        Args:
            deltas: by parameter name, what is added.
        """
        layer = _changed(copy.deepcopy(self.original), deltas)
        self._folded = _Folded((layer,), self._active_keys(), self._switch.active)

    def merged_layer(self) -> nn.Module | None:
        """Gives the layer that runs in place of everything here on the active path; None: there is none."""
        folded = self._folded
        if folded is None or folded.active != self._switch.active:
            return None
        return folded.layer[0] if folded.keys == self._active_keys() else None

    def unused_modules(self) -> Iterator[nn.Module]:
        """Yields what does not run as long as the active path stays and is folded: the original, or parts."""
        folded = self._folded if self._folded is not None and self._folded.active == self._switch.active else None
        if folded is not None:
            yield self.original
        for key, part in self.parts.items():
            if part_owner(key) not in self._switch.active or (folded is not None and key in folded.keys):
                yield part

    def unmerge(self) -> None:
        """Lets the original and every part run by themselves again."""
        self._folded = None

    def forward(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Runs the original, then the active parts in order of growth.

        Args:
            inputs: what the original gets first: hidden states [B, T, D] or a linear's input [..., I].
            *args: what else the original gets.
            **kwargs: what else the original gets.

        Returns:
            What the original returns, with the parts' changes in its (first) tensor.
        """
        folded = self._folded
        if folded is not None and (folded.active != self._switch.active or self._switch.rows):
            folded = None
        layer = self.original if folded is None else folded.layer[0]
        parts = list(self._active_parts(frozenset() if folded is None else folded.keys))
        first = cast(Part, parts[0][0]) if parts and not self._switch.rows else None
        result = None if first is None else first.fused_forward(layer, inputs)
        if result is None:
            result = layer(inputs, *args, **kwargs)
        else:
            del parts[0]
        output = result[0] if isinstance(result, tuple) else result
        for part, rows_B in parts:
            changed = part(inputs, output, *args, **kwargs)
            if rows_B is not None:
                changed = torch.where(rows_B.view(-1, *[1] * (changed.dim() - 1)), changed, output)
            output = changed
        return (output, *result[1:]) if isinstance(result, tuple) else output

    def _active_keys(self) -> frozenset[str]:
        return frozenset(key for key in self.parts if part_owner(key) in self._switch.active)

    def _active_parts(self, folded: frozenset[str]) -> Iterator[tuple[nn.Module, Tensor | None]]:
        for key, part in self.parts.items():
            name = part_owner(key)
            if name in self._switch.active and key not in folded:
                yield part, self._switch.rows.get(name)

    def __getattr__(self, name: str) -> Any:
        """Answers for the original: stock code asks layers and linears for attributes of theirs."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("original"), name)


def part_key(name: str, kind: str) -> str:
    """Names a part within its site: which module it belongs to and of which kind it is."""
    return f"{name}:{kind}"


def part_owner(key: str) -> str:
    """Gives the module that a part belongs to."""
    return key.partition(":")[0]


def part_kind(key: str) -> str:
    """Gives the kind that a part is of."""
    return key.partition(":")[2]


def stock_name(name: str) -> str:
    """Gives the name that a parameter or module of the base has without sites."""
    return name.replace(".original", "")
