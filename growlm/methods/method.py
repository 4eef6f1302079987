"""What a continual-learning method is: a plain object whose hooks a phase calls at fixed moments.

``VersionedMethod`` is the base of those that continue training the same weights: each phase's result is a new version
of one module; ``LoraOrDense`` of those among them that leave the choice of these weights to the user.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn

from growlm.data.batches import Batch, StepBatches
from growlm.manifest.path import Path
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds
from growlm.skills.skill import Skill
from growlm.stack.loss import trained_token_losses

if TYPE_CHECKING:
    from growlm.manifest.manifest import ModuleRecord
    from growlm.stack.stack import ModuleStack

Weights = Literal["lora", "all", "linears"]
WRAPPED = "sequential"
"""The method that a wrapping method wraps unless its option ``method`` names another."""


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
        encoder_decoder: it works on encoder-decoders, too.
        trains: a phase has steps; otherwise the module is what ``begin`` and ``end`` make of it, and the other hooks
            are not called.
    """

    inference: Literal["oracle", "routed", "all"] = "all"
    at_once: bool = False
    encoder_decoder: bool = False
    trains: bool = True

    @property
    def replayed_rows(self) -> int:
        """How many rows of earlier skills' examples the phase has trained on so far; 0 unless the method replays."""
        return 0

    @property
    def extra_forward_rows(self) -> int:
        """How many rows the loss has looked at besides those of the batches, so far in the phase."""
        return 0

    @property
    def generated_rows(self) -> int:
        """How many rows a model has written to be learned from, so far in the phase."""
        return 0

    @property
    def kept_rows(self) -> int:
        """How many rows of examples lie in the stack when the phase has ended, those of earlier phases included."""
        return 0

    @abstractmethod
    def build(self, stack: "ModuleStack", skill: Skill) -> dict[str, ModuleKind]:
        """Decide what the phase attaches.

        Args:
            stack: the stack as it is.
            skill: the skill to be learned.

        Returns:
            The kinds of the new module, by name.
        """

    def grow_on(self, stack: "ModuleStack", on: Path) -> Path:
        """Decide the path to grow on.

        Args:
            stack: the stack as it is.
            on: the path that was asked for.

        Returns:
            The path; by default the one that was asked for.
        """
        return on

    def continues(self, stack: "ModuleStack") -> str | None:
        """Return the module whose values the new one begins with and which it supersedes; None: neither."""
        return None

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Prepare the phase, with the module attached.

        Args:
            stack: the stack with the new module on the active path.
            name: the new module's name.
            batches: the phase's encoded examples, and its batch of every step.
        """

    def parameters(self, stack: "ModuleStack", name: str) -> Iterable[nn.Parameter]:
        """Return what is trained; by default all of the new module."""
        return stack.module_parameters(name).values()

    def batch(self, batch: Batch) -> Batch:
        """Change a training batch, for example by mixing in replayed examples."""
        return batch

    def loss(self, stack: "ModuleStack", batch: Batch) -> Tensor:
        """Compute what a step makes smaller, a scalar; by default the mean cross-entropy of the trained tokens."""
        return trained_token_losses(stack, batch).mean()

    def after_backward(self) -> None:
        """Process the gradients, unscaled and clipped, before the optimizer's step."""

    def after_step(self) -> None:
        """Correct the parameters after the optimizer's step."""

    def end(self, stack: "ModuleStack", batches: StepBatches) -> dict[str, Tensor]:
        """Close the phase, for example by gathering statistics for later ones.

        Args:
            stack: the stack with the trained module, not frozen yet, on the active path.
            batches: the phase's encoded examples, and its batch of every step.

        Returns:
            What is kept with the module for later phases, by names of the method's own; they get it from
            ``stack.method_tensors(name)``, where a method that wraps this one may have put more.
        """
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed phase needs: tensors and JSON values only."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""


class VersionedMethod(Method):
    """Starts from the values of the last module of the same kinds and supersedes it; the first starts from zero change.

    Attributes:
        wrapper: name of the method that wraps this one, such as ``replay``; records have that name then, and this
            method's as their option ``method``.
    """

    wrapper: str | None = None

    @abstractmethod
    def kinds(self) -> dict[str, ModuleKind]:
        """Return the kinds that every phase continues to train."""

    def build(self, stack: "ModuleStack", skill: Skill) -> dict[str, ModuleKind]:
        """Build the same kinds in every phase; see ``Method.build``."""
        return self.kinds()

    def grow_on(self, stack: "ModuleStack", on: Path) -> Path:
        """Return the parents of the last version; for the first version, the path that was asked for."""
        last = self._last_version(stack)
        return on if last is None else last.parents

    def continues(self, stack: "ModuleStack") -> str | None:
        """Return the last version."""
        last = self._last_version(stack)
        return None if last is None else last.name

    def fits(self, record: "ModuleRecord") -> bool:
        """Return whether a version can be continued; by default one of the same kinds and options."""
        return bool(record.kinds == {name: kind.options() for name, kind in self.kinds().items()})

    def _last_version(self, stack: "ModuleStack") -> "ModuleRecord | None":
        versions = [
            record
            for record in stack.manifest.modules
            if self._made(record) and self.fits(record) and record.name in stack.manifest.current()
        ]
        return versions[-1] if versions else None

    def _made(self, record: "ModuleRecord") -> bool:
        own = type(self).__module__.rpartition(".")[2]
        if self.wrapper is None:
            return bool(record.method["name"] == own)
        wrapped = record.method["options"].get("method", WRAPPED)
        return bool(record.method["name"] == self.wrapper and wrapped == own)


class LoraOrDense(VersionedMethod):
    """Continues training one low-rank change, or one full difference of chosen weights.

    Args:
        weights: what is trained: a low-rank change (``lora``), ``all`` weights of the base, or the ``linears`` of its
            layers.
        rank: rank of the low-rank change.
        target_modules: names of the linears with a low-rank change, such as q_proj; None: all linears of the layers.
    """

    def __init__(
        self,
        weights: Weights = "lora",
        rank: int = 8,
        target_modules: list[str] | None = None,
    ) -> None:
        self.weights = weights
        self.rank = rank
        self.target_modules = target_modules

    def kinds(self) -> dict[str, ModuleKind]:
        """Return a low-rank change, or a full difference of the chosen weights."""
        return lora_or_dense(self.weights, self.rank, self.target_modules)


def lora_or_dense(weights: Weights, rank: int, target_modules: list[str] | None) -> dict[str, ModuleKind]:
    """Build a low-rank change, or a full difference of chosen weights; see ``LoraOrDense``."""
    if weights == "lora":
        return {"lora": module_kinds.build("lora", {"rank": rank, "target_modules": target_modules})}
    return {"dense": module_kinds.build("dense", {"weights": weights})}
