"""CAT: every skill's low-rank change is trained from the base alone, and all are added with learned coefficients.

Prabhakar et al. 2024, "LoRA Soups: Merging LoRAs for Practical Skill Composition Tasks" (arXiv 2410.13025). With B_i
A_i what phase i trains, every linear becomes

    W_0 + s Σ_i c_i B_i A_i

where the coefficients c alone are trained on a mixture of all skills' examples, with the changes frozen. The first
phase is plain LoRA. What is kept is one module of rank k R after k phases, which merges into the weights.

What differs: the paper merges changes that are there already, in a training of its own; here one more arrives with each
phase, and every step trains both, each by its own loss:

    loss = task(new examples; the new change alone) + task(mixture; all changes, none of which gets a gradient)

so that a phase needs no second schedule. The coefficients of the earlier phases go on from where they were, a new one
begins at 1. In the mixture every skill has the same share. Of every phase a share of the examples is kept for it.

The examples lie as token ids in the module's folder: whoever gets the stack can read them.

Cost per step: that of ``lora_sequential``, and from the second phase on 1 + ``mixture`` times the rows, the added ones
through the changes of all phases. Kept: the examples, 5 bytes per token.
Proved by tests/golden/test_cat.py and tests/contracts/test_every_method.py.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from growlm.data.batches import Batch, StepBatches, collate
from growlm.data.encode import Encoded
from growlm.errors import GrowlmError, check_positive
from growlm.methods._replay_buffer import ReplayBuffer
from growlm.methods.method import VersionedMethod
from growlm.modules.kind import ModuleKind
from growlm.modules.lora_concat import LoraConcatPart
from growlm.registry import module_kinds
from growlm.skills.skill import Skill
from growlm.stack.loss import trained_token_losses

if TYPE_CHECKING:
    from growlm.manifest.manifest import ModuleRecord
    from growlm.stack.stack import ModuleStack

_KIND = "lora_concat"
_MEMORY = "memory/"


class Cat(VersionedMethod):
    """Trains a low-rank change for every skill from the base alone, and the coefficients with which all are added.

    Args:
        rank: rank of each change.
        target_modules: names of the linears, such as q_proj; None: all linears of the layers.
        share: share of each phase's examples that is kept for the mixture, at least one.
        mixture: rows of the mixture in a step, as a share of the batch's rows, at least one.
    """

    def __init__(
        self, rank: int = 8, target_modules: list[str] | None = None, share: float = 0.05, mixture: float = 0.5
    ) -> None:
        if not 0 < share <= 1:
            raise GrowlmError(f"cat share {share} is not above 0 and at most 1")
        check_positive("cat mixture", mixture)
        self.rank = rank
        self.target_modules = target_modules
        self.share = share
        self.mixture = mixture
        self._count = 1
        self._parts: list[LoraConcatPart] = []
        self._memory = ReplayBuffer()
        self._skills: list[Sequence[Encoded]] = []
        self._pad_id = 0
        self._old_rows = 0
        self._mixture_rows = 0
        self._kept_rows = 0

    @property
    def replayed_rows(self) -> int:
        """How many rows of earlier skills the coefficients were trained on."""
        return self._old_rows

    @property
    def extra_forward_rows(self) -> int:
        """How many rows the coefficients were trained on."""
        return self._mixture_rows

    @property
    def kept_rows(self) -> int:
        """How many examples are kept for the mixture."""
        return self._kept_rows

    def kinds(self) -> dict[str, ModuleKind]:
        """Return as many changes as there are phases."""
        options = {"count": self._count, "rank": self.rank, "target_modules": self.target_modules}
        return {_KIND: module_kinds.build(_KIND, options)}

    def build(self, stack: "ModuleStack", skill: Skill) -> dict[str, ModuleKind]:
        """Build one change more than the last version has; see ``Method.build``."""
        last = self._last_version(stack)
        self._count = 1 if last is None else last.kinds[_KIND]["count"] + 1
        return self.kinds()

    def fits(self, record: "ModuleRecord") -> bool:
        """Return whether a version has the same changes, however many; see ``VersionedMethod.fits``."""
        own = self.kinds()[_KIND].options()
        return record.kinds == {_KIND: own | {"count": record.kinds.get(_KIND, {}).get("count")}}

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Read the examples that the earlier phases kept, if there were any."""
        self._parts = list(stack.parts(name, LoraConcatPart).values())
        self._pad_id = batches.pad_id
        last = self.continues(stack)
        if last is not None:
            self._memory = ReplayBuffer.kept_by(stack, last, _MEMORY)
        by_phase: dict[int, list[Encoded]] = defaultdict(list)
        for owner, example in zip(self._memory.owners, self._memory.examples, strict=True):
            by_phase[owner].append(example)
        self._skills = [*by_phase.values(), batches.examples]

    def parameters(self, stack: "ModuleStack", name: str) -> Iterable[nn.Parameter]:
        """Return the factors of the newest change and, from the second phase on, all coefficients."""
        for part in self._parts:
            yield part.A[-1]
            yield part.B[-1]
            if self._memory.examples:
                yield from part.coefficients

    def loss(self, stack: "ModuleStack", batch: Batch) -> Tensor:
        """Add the loss of the mixture with all changes to that of the new examples with the newest alone."""
        try:
            self._learn("newest")
            loss = super().loss(stack, batch)
            if not self._memory.examples:
                return loss
            self._learn("coefficients")
            mixture = self._drawn(max(1, round(self.mixture * len(batch.input_ids)))).to(loss.device)
            return loss + trained_token_losses(stack, mixture).mean()
        finally:
            self._learn("everything")

    def _learn(self, what: Any) -> None:
        for part in self._parts:
            part.learns = what

    def _drawn(self, count: int) -> Batch:
        """Draw examples, of every skill with the same probability."""
        rows: list[Encoded] = []
        for skill in torch.randint(len(self._skills), (count,)).tolist():
            rows.append(self._skills[skill][int(torch.randint(len(self._skills[skill]), ()))])
            self._old_rows += skill < len(self._skills) - 1
        self._mixture_rows += count
        return collate(rows, self._pad_id)

    def end(self, stack: "ModuleStack", batches: StepBatches) -> dict[str, Tensor]:
        """Keep examples of the phase beside those of the earlier ones."""
        generator = random.Random(f"cat/{batches.seed}/{len(self._memory.seen)}")
        memory = self._memory.after(batches.examples, "reservoir", self.share, None, generator)
        self._kept_rows = len(memory.examples)
        return {_MEMORY + key: value for key, value in memory.to_tensors().items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what was counted."""
        return {"replayed_rows": self._old_rows, "mixture_rows": self._mixture_rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._old_rows, self._mixture_rows = state["replayed_rows"], state["mixture_rows"]
