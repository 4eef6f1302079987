"""The manifest: what a stack's folder says about itself, as JSON."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from growlm.errors import GrowlmError, unknown_name
from growlm.files import check_name, file_digest, read_json

FORMAT_VERSION = 1
STACK_FILE = "stack.json"
MODULE_FILE = "module.json"
TENSOR_FILE = "module.safetensors"
METHOD_FILE = "method.safetensors"

R = TypeVar("R")


@dataclass(frozen=True)
class BaseRecord:
    """Which base a stack stands on.

    Args:
        source: name of a shipped base, folder or Hugging Face id.
        model_type: its architecture as transformers names it.
        parameters: how many parameters it has.
        tensors: digest of every tensor as stored, by stock name.
        digest: one digest over all of them.
    """

    source: str
    model_type: str
    parameters: int
    tensors: dict[str, str]
    digest: str


@dataclass(frozen=True)
class ModuleRecord:
    """How a module came to be and what it is.

    Args:
        name: the module's name.
        kinds: its kinds and their options.
        parents: the path that it was grown on.
        skill: name, options and data digests of the skill.
        method: name and options of the method.
        seed: what all randomness of the phase came from.
        recipe: the settings of the phase, resolved.
        parameters: how many parameters the module has.
        tensors: digest of every tensor, by the module's own names.
        digest: one digest over all of them.
        scores: by skill, the scores measured when the module was finished: of the bare base, of the skill's own path
            (``oracle``) and of all modules together (``all``).
        cost: steps, tokens and seconds of the phase, and how many prompts were cut if any were.
        environment: versions and machine kind.
        supersedes: modules whose values this one went on from and in whose place it answers; they stay as they are.
        method_tensors: digest of every tensor that the method keeps for later phases, by its own names.
    """

    name: str
    kinds: dict[str, dict[str, Any]]
    parents: tuple[str, ...]
    skill: dict[str, Any]
    method: dict[str, Any]
    seed: int
    recipe: dict[str, Any]
    parameters: int
    tensors: dict[str, str]
    digest: str
    scores: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    supersedes: tuple[str, ...] = ()
    method_tensors: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> tuple[str, ...]:
        """The path that ends with this module."""
        return (*self.parents, self.name)


@dataclass(frozen=True)
class Manifest:
    """A stack's base and its modules in order of growth."""

    base: BaseRecord
    modules: tuple[ModuleRecord, ...] = ()

    def parents(self) -> dict[str, tuple[str, ...]]:
        """Gives, for each module in order of growth, the path it was grown on."""
        return {module.name: module.parents for module in self.modules}

    def newest_version(self, name: str) -> str:
        """Gives the module that answers in a module's place: itself, or the last of those that superseded it."""
        for module in self.modules:  # in order of growth, so that a chain is followed to its end
            if name in module.supersedes:
                name = module.name
        return name

    def current(self) -> tuple[str, ...]:
        """Lists the modules that no other has superseded, in order of growth."""
        return tuple(module.name for module in self.modules if self.newest_version(module.name) == module.name)

    def folder_of(self, name: str) -> str:
        """Gives a module's folder inside the stack's folder.

        Raises:
            GrowlmError: if there is no such module.
        """
        for index, module in enumerate(self.modules):
            if module.name == name:
                return f"modules/{index:02d}-{name}"
        raise unknown_name("module", name, [module.name for module in self.modules])


def module_json(module: ModuleRecord) -> str:
    """Renders a module's own file."""
    return _render({"format_version": FORMAT_VERSION, **asdict(module)})


def stack_json(manifest: Manifest) -> str:
    """Renders ``stack.json``: the modules by name, place and digest, and a digest of the whole."""
    content: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "base": asdict(manifest.base),
        "modules": [
            {
                "name": module.name,
                "folder": manifest.folder_of(module.name),
                "kinds": list(module.kinds),
                "parents": module.parents,
                "parameters": module.parameters,
                "digest": _text_digest(module_json(module)),
            }
            for module in manifest.modules
        ],
    }
    content["digest"] = _text_digest(_render(content))
    return _render(content)


def read_manifest(folder: Path) -> Manifest:
    """Reads a stack's manifest and checks that nothing in it was edited.

    Args:
        folder: the stack's folder.

    Returns:
        The manifest.

    Raises:
        GrowlmError: if the folder is no stack, its format is newer than this growlm, or a file was changed.
    """
    path = folder / STACK_FILE
    if not path.exists():
        raise GrowlmError(f"{folder} is no stack ({STACK_FILE} is missing): grow one with 'growlm grow --skill chat'")
    content = _checked_object(read_json(path), path)
    claimed = content.pop("digest", None)
    if claimed != _text_digest(_render(content)):
        raise GrowlmError(f"{path} was edited or damaged (its digest does not fit): restore it from a copy")
    try:
        base = _record(BaseRecord, content["base"], path)
        modules = tuple(_read_module(folder, index, entry) for index, entry in enumerate(content["modules"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise GrowlmError(f"{path} does not have the fields of a stack ({error}): restore it from a copy") from None
    manifest = Manifest(base, modules)
    if len(manifest.parents()) != len(modules) or path.read_bytes() != stack_json(manifest).encode():
        raise GrowlmError(f"{path} contradicts itself or its modules: restore it from a copy")
    return manifest


def _read_module(folder: Path, index: int, entry: dict[str, Any]) -> ModuleRecord:
    name = check_name(entry["name"], "module")
    path = folder / f"modules/{index:02d}-{name}" / MODULE_FILE
    module = _record(ModuleRecord, _checked_object(read_json(path), path), path)
    if module.name != name or file_digest(path) != entry["digest"]:
        raise GrowlmError(f"{path} was edited or damaged (its digest does not fit): restore it from a copy")
    return module


def _checked_object(content: Any, path: Path) -> dict[str, Any]:
    if not isinstance(content, dict) or "format_version" not in content:
        raise GrowlmError(f"{path} is no growlm file: it has no format_version")
    version = content["format_version"]
    if version != FORMAT_VERSION:
        raise GrowlmError(
            f"{path} has format version {version!r}, this growlm reads version {FORMAT_VERSION}: "
            "upgrade growlm (pip install --upgrade growlm)"
        )
    return dict(content)


def _record(record: type[R], content: dict[str, Any], path: Path) -> R:
    names = [item.name for item in fields(record)]  # type: ignore[arg-type]
    if set(content) - {"format_version"} != set(names):
        raise GrowlmError(f"{path} does not have the fields of a {record.__name__}: restore it from a copy")
    values = {name: content[name] for name in names}
    for name, hint in get_type_hints(record).items():
        if get_origin(hint) is tuple and isinstance(values[name], list):
            values[name] = tuple(values[name])
        if not _is_a(values[name], hint):
            raise GrowlmError(f"{path}: {name!r} has a value of the wrong type: restore it from a copy")
    return record(**values)


def _is_a(value: Any, hint: Any) -> bool:
    """Tells whether a value read from JSON is of an annotated type."""
    if hint is Any:
        return True
    arguments = get_args(hint)
    if not arguments:
        return isinstance(value, hint)
    # dict[str, X] and tuple[X, ...] are all there is
    inner = arguments[1] if get_origin(hint) is dict else arguments[0]
    items = value.values() if isinstance(value, dict) else value
    return isinstance(value, get_origin(hint)) and all(_is_a(item, inner) for item in items)


def _render(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
