"""Registration of stacks with transformers' Auto classes, at no cost until transformers is used.

``import growlm`` calls ``register``: where ``AutoConfig`` has been imported it learns of stacks at once, else when its
own import ends. The first config of a stack that it reads brings the model's class with it.
"""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec

_AUTO_CONFIG = "transformers.models.auto.configuration_auto"


def register() -> None:
    """Make ``AutoConfig`` know stacks, now or when it is imported."""
    if _AUTO_CONFIG in sys.modules:
        _register(sys.modules[_AUTO_CONFIG])
    else:
        sys.meta_path.insert(0, _Finder())


def _register(auto: ModuleType) -> None:
    from growlm.manifest.config import GrowlmConfig

    auto.AutoConfig.register(GrowlmConfig.model_type, GrowlmConfig, exist_ok=True)


class _Finder:
    """Finds ``AutoConfig``'s file once, as the other finders do, and registers after it has run."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> "ModuleSpec | None":
        """Return the file's spec with ``_Loader`` in it; None for every other file."""
        if name != _AUTO_CONFIG:
            return None
        from importlib.util import find_spec

        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None:
            spec.loader = cast("Loader", _Loader(spec.loader))
        return spec


class _Loader:  # not importlib.abc's, whose import takes longer than everything else here
    """Loads a file as its own loader does, then registers.

    Args:
        loader: the file's own loader.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: "ModuleSpec") -> ModuleType | None:
        """Create the module."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the file, then register."""
        self._loader.exec_module(module)
        _register(module)

    def __getattr__(self, name: str) -> Any:
        """Return whatever else is asked of the file's own loader."""
        return getattr(self._loader, name)
