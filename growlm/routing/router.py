"""What a router is: it chooses the path of a prompt."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from torch import Tensor

from growlm.base.architecture import Architecture
from growlm.data.example import Split
from growlm.manifest.path import Path

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

Prompts = Sequence[Sequence[int]]
"""Token ids of prompts, each exactly as the model gets it."""


class DrawPrompts(Protocol):
    """What draws the prompts of a skill."""

    def __call__(self, split: Split, limit: int, *, augment: bool = False) -> Prompts:
        """Return prompts of a split, at most the given number, and if it is asked for changed copies of each."""


class Router(ABC):
    """Chooses, for a prompt, the path of one of the modules that it knows, or the bare base.

    Its constructor's arguments are its options; what it has learned is tensors. A choice depends on the base, on the
    prompt and on these tensors alone, so it is the same whatever path is active.

    Attributes:
        name: the router's name in the registry.
        encoder_decoder: it works on encoder-decoders, too.
        later_options: options that stored routers of earlier versions do not name, with the values that mean what
            those routers did.
    """

    name: str
    encoder_decoder: ClassVar[bool] = False
    later_options: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """Return the options as JSON holds them; building from them again gives the same router, untrained."""

    @abstractmethod
    def known(self) -> tuple[str, ...]:
        """Return what it can choose, sorted: modules, and ``base`` for the bare base."""

    def check(self, stack: "ModuleStack", name: str, draw: DrawPrompts) -> None:
        """Refuse, before anything is trained, a module that it could not learn to choose.

        Args:
            stack: the stack with the module attached.
            name: the module's name, or ``base``.
            draw: gives prompts of its skill.

        Raises:
            GrowlmError: saying why.
        """

    @abstractmethod
    def learn(self, stack: "ModuleStack", name: str, draw: DrawPrompts) -> None:
        """Learn to choose one more module; learning it again has the same result as learning it once.

        Args:
            stack: the stack with the module, frozen.
            name: the module's name, or ``base``.
            draw: gives prompts of its skill.
        """

    @abstractmethod
    def forget(self, name: str) -> None:
        """Forget a module: afterwards it is as if it had never been learned."""

    @abstractmethod
    def choose(self, stack: "ModuleStack", prompts: Prompts) -> list[Path]:
        """Choose the path of each prompt.

        Args:
            stack: the stack.
            prompts: the prompts' tokens.

        Returns:
            A path for each.
        """

    def state_dict(self) -> dict[str, Tensor]:
        """Return what was learned, by name: ``<what>/<module>``."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor], architecture: Architecture) -> None:
        """Restore what ``state_dict`` returned.

        Args:
            state: the tensors.
            architecture: that of the base of the stack that the router is for.

        Raises:
            GrowlmError: if a name, size or type is not what this router would have written for this stack.
        """
