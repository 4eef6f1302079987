"""What a continual-learning method is: a plain object that a phase asks at fixed moments."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn

from growlm.data.batches import Batch, StepBatches
from growlm.manifest.path import Path
from growlm.modules.kind import ModuleKind
from growlm.skills.skill import Skill
from growlm.stack.loss import trained_token_losses

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


class Method(ABC):
    """A method; its constructor's arguments are its options.

    A phase calls, in this order: ``grow_on``, ``build``, ``continues``, ``begin`` and ``parameters``, then for every
    step ``batch``, ``loss``, ``after_backward`` and ``after_step``, and ``end`` once. Everything but ``build`` has a
    default that does nothing, ``loss`` that of plain training.

    Attributes:
        inference: the mode that the method's authors mean: the skill is named (``oracle``), the router chooses
            (``routed``), or everything is on (``all``). A class says it for all its objects; a method that wraps
            another has the other's.
        at_once: the method is given all skills of a stream in one phase; likewise.
    """

    inference: Literal["oracle", "routed", "all"] = "all"
    at_once: bool = False

    @property
    def replayed_rows(self) -> int:
        """How many rows of earlier skills' examples the phase has trained on so far; 0 unless the method replays."""
        return 0

    @property
    def extra_forward_rows(self) -> int:
        """How many rows the loss has looked at besides those of the batches, so far in the phase."""
        return 0

    @abstractmethod
    def build(self, stack: "ModuleStack", skill: Skill) -> dict[str, ModuleKind]:
        """Decides what the phase attaches.

        Args:
            stack: the stack as it is.
            skill: the skill to be learned.

        Returns:
            The kinds of the new module, by name.
        """

    def grow_on(self, stack: "ModuleStack", on: Path) -> Path:
        """Decides the path to grow on.

        Args:
            stack: the stack as it is.
            on: the path that was asked for.

        Returns:
            The path; by default the one that was asked for.
        """
        return on

    def continues(self, stack: "ModuleStack") -> str | None:
        """Names the module whose values the new one begins with and which it supersedes; None: neither."""
        return None

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Prepares the phase, with the module attached.

        Args:
            stack: the stack with the new module on the active path.
            name: the new module's name.
            batches: the phase's encoded examples, and its batch of every step.
        """

    def parameters(self, stack: "ModuleStack", name: str) -> Iterable[nn.Parameter]:
        """Names what is trained; by default all of the new module."""
        return stack.module_parameters(name).values()

    def batch(self, batch: Batch) -> Batch:
        """Changes a training batch, for example by mixing in replayed examples."""
        return batch

    def loss(self, stack: "ModuleStack", batch: Batch) -> Tensor:
        """Computes what a step makes smaller, a scalar; by default the mean cross-entropy of the trained tokens."""
        return trained_token_losses(stack, batch).mean()

    def after_backward(self) -> None:
        """Sees the gradients, unscaled and clipped, before the optimizer's step."""

    def after_step(self) -> None:
        """Corrects the parameters after the optimizer's step."""

    def end(self, stack: "ModuleStack", batches: StepBatches) -> dict[str, Tensor]:
        """Closes the phase, for example by gathering statistics for later ones.

        Args:
            stack: the stack with the trained module, not frozen yet, on the active path.
            batches: the phase's encoded examples, and its batch of every step.

        Returns:
            What is kept with the module for later phases, by names of the method's own; they get it from
            ``stack.method_tensors(name)``, where a method that wraps this one may have put more.
        """
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Gives what a resumed phase needs: tensors and JSON values only."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what ``state_dict`` gave."""
