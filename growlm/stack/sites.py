"""The sites of a base and the parts attached at them."""

from collections.abc import Container, Iterator, Mapping
from typing import cast

from torch import Tensor, nn

from growlm.base.architecture import resolve
from growlm.modules.site import Part, Site, Switch, part_key, part_kind, part_owner, stock_name


class Sites:
    """Puts sites into a base where parts are attached, and takes them out again.

    Args:
        base: the base, or any other model; its layers are wrapped in place, its weights are not touched.
        switch: what the sites ask which modules are active.
    """

    def __init__(self, base: nn.Module, switch: Switch) -> None:
        self._base = base
        self._switch = switch

    def by_path(self) -> dict[str, Site]:
        """Gives the sites by the stock path of what they wrap, in the base's order."""
        return {stock_name(path): module for path, module in self._base.named_modules() if isinstance(module, Site)}

    def attach(self, name: str, kind: str, parts: Mapping[str, Part]) -> None:
        """Attaches the parts of one kind of a module.

        Args:
            name: the module's name.
            kind: the kind.
            parts: the parts by the stock path of their site.
        """
        sites = self.by_path()
        for path, part in parts.items():
            if path not in sites:
                sites[path] = Site(resolve(self._base, path), self._switch)
                self._replace(path, sites[path])
            part.owner, part.switch = name, self._switch
            sites[path].parts[part_key(name, kind)] = part

    def detach(self, name: str) -> None:
        """Removes a module's parts; a site that holds none any more gives its place back to the original."""
        for path, site in self.by_path().items():
            for key in [key for key in site.parts if part_owner(key) == name]:
                del site.parts[key]
            if not site.parts:
                self._replace(path, site.original)
        self._switch.notes.clear()  # a pass of another stack

    def parts_of(self, name: str) -> list[tuple[str, Part]]:
        """Lists a module's parts, each with what its tensors' names begin with: ``<kind>.<stock path of the site>``."""
        return [
            (f"{part_kind(key)}.{path}", cast(Part, part))
            for path, site in self.by_path().items()
            for key, part in site.parts.items()
            if part_owner(key) == name
        ]

    def inserted_after(self, modules: Container[str] | None = None) -> list[int]:
        """Lists, in order of their cache slots, the layers of the base after which parts have a slot of their own.

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

    def unused_tensors(self) -> Iterator[Tensor]:
        """Yields the tensors that no pass by the active path reads as it is folded."""
        idle = {
            part for site in self.by_path().values() for module in site.unused_modules() for part in module.modules()
        }
        running = {tensor for part in self._base.modules() if part not in idle for tensor in _own_tensors(part)}
        yield from (tensor for part in idle for tensor in _own_tensors(part) if tensor not in running)

    def _replace(self, path: str, replacement: nn.Module) -> None:
        parent, _, name = path.rpartition(".")
        setattr(resolve(self._base, parent) if parent else self._base, name, replacement)


def _own_tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters(recurse=False)
    yield from module.buffers(recurse=False)
