"""growlm: grow a language model skill by skill.

A frozen base learns a new skill by gaining a module; only the module trains; then it is frozen into the stack.

    >>> import growlm
    >>> stack = growlm.ModuleStack.from_pretrained("checkpoints/stack")  # doctest: +SKIP
    >>> with stack.active("chat"):  # doctest: +SKIP
    ...     stack.generate(...)

This page is the public interface. Importing it is light: each name brings what it needs, torch included, when it is
first used. After the import the transformers Auto classes and pipelines load a stack's folder like any other model's.
"""

import importlib
from typing import TYPE_CHECKING, Any

from growlm import auto

if TYPE_CHECKING:
    from growlm.base.load import load_base, load_tokenizer
    from growlm.cli.phase import grow
    from growlm.errors import GrowlmError
    from growlm.imports.from_stack import import_modules
    from growlm.imports.install import import_adapter
    from growlm.manifest.manifest import Manifest, read_manifest
    from growlm.merging.fuse import fused
    from growlm.merging.merge import merge
    from growlm.metrics.accuracy_matrix import AccuracyMatrix
    from growlm.registry import Registry, module_kinds
    from growlm.stack.stack import ModuleStack

__all__ = [
    "AccuracyMatrix",
    "GrowlmError",
    "Manifest",
    "ModuleStack",
    "Registry",
    "fused",
    "grow",
    "import_adapter",
    "import_modules",
    "load_base",
    "load_tokenizer",
    "merge",
    "module_kinds",
    "read_manifest",
]

_HOMES = {
    "AccuracyMatrix": "growlm.metrics.accuracy_matrix",
    "GrowlmError": "growlm.errors",
    "Manifest": "growlm.manifest.manifest",
    "ModuleStack": "growlm.stack.stack",
    "Registry": "growlm.registry",
    "fused": "growlm.merging.fuse",
    "grow": "growlm.cli.phase",
    "import_adapter": "growlm.imports.install",
    "import_modules": "growlm.imports.from_stack",
    "load_base": "growlm.base.load",
    "load_tokenizer": "growlm.base.load",
    "merge": "growlm.merging.merge",
    "module_kinds": "growlm.registry",
    "read_manifest": "growlm.manifest.manifest",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'growlm' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


auto.register()
