"""The sites of a base and the parts attached at them."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from torch import Tensor, nn

from growlm.modules.context import ForwardContext
from growlm.modules.site import MergedLayer, Part, Site, part_key, part_kind, part_owner

SeeInputs = Callable[[nn.Module, tuple[Any, ...]], None]
"""Called with a layer and the positional arguments of its ``forward``."""


class Sites:
    """The sites of a base: made where parts are attached, and removed with them.

    Args:
        base: the base, or any other model, without sites; its layers are wrapped in place, its weights not touched.
        context: what the sites share.
    """

    def __init__(self, base: nn.Module, context: ForwardContext) -> None:
        self._base = base
        self._originals = dict(base.named_modules())
        self._attached: dict[str, Site] = {}
        self._context = context

    def by_path(self) -> dict[str, Site]:
        """Return the sites by the stock path of what they wrap, in the base's order."""
        return dict(self._attached)

    def site(self, path: str) -> Site | None:
        """Return the site at a stock path, if there is one."""
        return self._attached.get(path)

    def attach(self, name: str, kind: str, parts: Mapping[str, Part]) -> None:
        """Attach the parts of one kind of a module.

        Args:
            name: the module's name.
            kind: the kind.
            parts: the parts by the stock path of their site.
        """
        sites = self.by_path()
        for path, part in parts.items():
            if path not in sites:
                sites[path] = Site(self._originals[path], self._context)
                self._replace(path, sites[path])
            part.owner, part.context = name, self._context
            sites[path].parts[part_key(name, kind)] = part
        self._attached = {path: sites[path] for path in self._originals if path in sites}

    def detach(self, name: str) -> None:
        """Remove a module's parts, and every site that holds none any more."""
        for path, site in self.by_path().items():
            for key in [key for key in site.parts if part_owner(key) == name]:
                del site.parts[key]
            if not site.parts:
                self._replace(path, site.original)
                del self._attached[path]
        self._context.deactivate(name)
        self._context.forget_pass()

    def parts_of(self, name: str) -> list[tuple[str, Part]]:
        """List a module's parts, each with the prefix of its tensors' names: ``<kind>.<stock path of the site>``."""
        return [
            (f"{part_kind(key)}.{path}", cast(Part, part))
            for path, site in self.by_path().items()
            for key, part in site.parts.items()
            if part_owner(key) == name
        ]

    def inserted_after(self, modules: Container[str] | None = None) -> list[int]:
        """List, in order of their cache slots, the layers of the base after which parts have a slot of their own.

        Args:
            modules: only the parts of these; None: all.
        """
        slots = {
            cast(Part, part).cache_slot: int(path.rpartition(".")[2])
            for path, site in self.by_path().items()
            for key, part in site.parts.items()
            if cast(Part, part).cache_slot is not None and (modules is None or part_owner(key) in modules)
        }
        return [slots[slot] for slot in sorted(slots, key=lambda slot: slot or 0)]

    def merge_frozen(self, growing: Container[str]) -> None:
        """Merge the frozen changes of weights that come first on the active path; see ``Site.merge_frozen``."""
        for site in self.by_path().values():
            site.merge_frozen(growing)

    def unmerge(self) -> None:
        """Run every original and every part by itself again."""
        self.restore_merged({})

    def merged(self) -> dict[Site, MergedLayer | None]:
        """Return what each site has merged, for ``restore_merged``."""
        return {site: site.merged for site in self.by_path().values()}

    def restore_merged(self, merged: Mapping[Site, MergedLayer | None]) -> None:
        """Run in each site what ran when ``merged`` returned this; a site that is new since then merges nothing."""
        for site in self.by_path().values():
            site.merged = merged.get(site)

    def unused_tensors(self) -> Iterator[Tensor]:
        """Yield the tensors that no pass by the active path reads as it is merged now."""
        unused = {
            part for site in self.by_path().values() for module in site.unused_modules() for part in module.modules()
        }
        used = {tensor for part in self._base.modules() if part not in unused for tensor in _own_tensors(part)}
        yield from (tensor for part in unused for tensor in _own_tensors(part) if tensor not in used)

    def _replace(self, path: str, replacement: nn.Module) -> None:
        parent, _, name = path.rpartition(".")
        setattr(self._originals[parent], name, replacement)


@contextmanager
def capture_inputs(layers: Sequence[nn.Module], see: SeeInputs) -> Iterator[None]:
    """Show the inputs of layers to a function, for a ``with`` block around forward passes.

    Args:
        layers: the layers.
        see: called with a layer and its positional arguments before it runs.
    """
    handles = [layer.register_forward_pre_hook(see) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _own_tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters(recurse=False)
    yield from module.buffers(recurse=False)
