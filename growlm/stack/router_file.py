"""A stack's router as one file: what it has learned as tensors, what it is in the file's metadata.

One file, so that a crash leaves it whole: the old one or the new one.
"""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from torch import Tensor

from growlm.base.architecture import Architecture
from growlm.errors import GrowlmError
from growlm.files import parse_json, read_metadata, read_tensors, tensor_digests
from growlm.manifest.manifest import Manifest
from growlm.manifest.own_files import ROUTER_FILE
from growlm.manifest.path import BASE
from growlm.manifest.path import Path as StackPath
from growlm.manifest.store import TensorFile
from growlm.registry import routers
from growlm.sealed import json_digest, seal, unseal

FORMAT_VERSION = 1
_KEY = "growlm"  # a single key: the order of several would not be the same in every file


class StackRouter(Protocol):
    """What a stack needs of its router; see ``growlm.routing.router.Router``."""

    name: str

    def options(self) -> dict[str, Any]:
        """Return the options as JSON holds them."""

    def known(self) -> tuple[str, ...]:
        """Return the names that it can choose."""

    def forget(self, name: str) -> None:
        """Forget a module."""

    def choose(self, stack: Any, prompts: Sequence[Sequence[int]]) -> list[StackPath]:
        """Choose the path of each prompt in a ``ModuleStack``."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return what was learned."""

    def load_state_dict(self, state: Mapping[str, Tensor], architecture: Architecture) -> None:
        """Load what ``state_dict`` returned."""


def router_files(router: StackRouter | None, manifest: Manifest) -> dict[str, TensorFile]:
    """Render a router for a stack's folder.

    Args:
        router: the router, if there is one.
        manifest: the stack's manifest; what the router knows of other modules is left out.

    Returns:
        The file by its name, or nothing.
    """
    if router is None:
        return {}
    router = copy.deepcopy(router)
    modules = {record.name: record.digest for record in manifest.modules}
    _forget_others(router, modules)
    tensors = router.state_dict()
    content = {
        "format_version": FORMAT_VERSION,
        "name": router.name,
        "options": router.options(),
        "modules": {name: modules[name] for name in router.known() if name in modules},
    }
    return {ROUTER_FILE: TensorFile(tensors, {_KEY: _sealed(content, tensors)})}


def read_router(folder: Path, architecture: Architecture, manifest: Manifest) -> StackRouter | None:
    """Read a stack's router and check its digest.

    What it knows of a module that the stack does not have (a command was interrupted) is left out.

    Args:
        folder: the stack's folder.
        architecture: the base's.
        manifest: the stack's.

    Returns:
        The router; None if the stack has none.

    Raises:
        GrowlmError: if the file is damaged, was edited, is of a newer format, or does not fit the stack.
    """
    path = folder / ROUTER_FILE
    if not path.exists():
        return None
    tensors = read_tensors(path)
    content = _unsealed(read_metadata(path).get(_KEY, ""), tensors, path)
    try:
        options = {**routers.get(content["name"]).later_options, **content["options"]}
        router = cast(StackRouter, routers.build(content["name"], options))
        router.load_state_dict(tensors, architecture)
        current = {record.name: record.digest for record in manifest.modules}
        _forget_others(
            router, {name: digest for name, digest in content["modules"].items() if current.get(name) == digest}
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise GrowlmError(f"{path} does not have the fields of a router ({error}): restore it from a copy") from None
    except GrowlmError as error:
        raise GrowlmError(f"{path}: {error}") from None
    return router


def _forget_others(router: StackRouter, modules: Mapping[str, str]) -> None:
    for name in router.known():
        if name != BASE and name not in modules:
            router.forget(name)


def _sealed(content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    return json.dumps(seal(content, _digest_with(tensors)), ensure_ascii=False, allow_nan=False)


def _unsealed(text: str, tensors: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    try:
        content = parse_json(text.encode(), path)
    except GrowlmError:
        raise GrowlmError(
            f"{path} is not a router of growlm (its metadata is missing): restore it from a copy"
        ) from None
    return unseal(content, path, (FORMAT_VERSION,), digest=_digest_with(tensors))


def _digest_with(tensors: Mapping[str, Tensor]) -> Callable[[Any], str]:
    digests = tensor_digests(tensors)
    return lambda content: json_digest([content, digests])
