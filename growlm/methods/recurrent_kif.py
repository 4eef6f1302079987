"""Recurrent-KIF: rounds of an inner loop on the new skill and an outer loop on a small memory, fused after each round.

Feng et al. 2025, "Recurrent Knowledge Identification and Fusion for Language Model Continual Learning" (ACL 2025, arXiv
2502.17510). One low-rank change is trained further in every phase. A round, from values θ:

    inner loop: Q steps on the new skill, to θ + τ_in       outer loop: M steps on the memory, from there on by τ_out
    θ ← θ + m_in ⊙ τ_in + m_out ⊙ τ_out

element by element. Both loops measure the importance of each element (``importance/``), the inner one anew in every
round, the outer one over all rounds of the phase. Elements above the 80 % quantile of each are important: where one to
the new skill only, m_in is 1 and m_out 0; to the old ones only, 0 and 1; to both, 0.4 and 0.6; to neither, 0.5 and 0.5.
The memory has 2 % of the examples of every earlier phase. The first phase has no memory and is plain training.

Exact: the fusion, and Q = 8, M = 4, 2 %, 20 %, 0.4, 0.6, 0.5 and β = 0.85, those of the authors' scripts and code
(WoodScene/Recurrent_KIF, which has no licence; nothing of it is here; the paper is said to give β = 0.55, and Q is 4 in
the code's own default). After the paper: that the outer loop begins where the inner one ended, and that the outer
importance begins anew in each phase, since the memory measures it again. Other than there: there is one optimizer, the
phase's, whose moments go through both loops, where they have two; the outer loop's higher learning rate (1e-3 beside
3e-4) is ``outer_rate`` times each of its steps, which for AdamW is the same. An outer step takes the place of a step on
new examples, so that a phase costs what it costs by other methods, and sees M / (Q + M) fewer new ones. A round that
the end of the phase cuts short is fused if its outer loop has begun, and else stays as it is. ``fusion`` ``softmax``,
``average`` or ``none`` is the ablation: weights as in KIF, the same for all elements (no identification), or the loops
alone (memory steps between the others).

The examples lie as token ids in the module's folder: whoever gets the stack can read them.

Cost per step: that of ``lora_sequential``, and a few operations and six fp32 numbers per trained element. Kept: one
fp32 number per rank, twice, and the memory, 5 bytes per token.
Proved by tests/golden/test_recurrent_kif.py and tests/contracts/test_every_method.py.
"""

import random
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from growlm.data.batches import Batch, StepBatches, collate
from growlm.errors import check_at_least, check_positive
from growlm.methods._fusion import check_shares, fused_round, kept_tensors, mask_weights, softmax_share
from growlm.methods._replay_buffer import ReplayBuffer
from growlm.methods.importance.running import Importance
from growlm.methods.importance.units import important, normalised, unit_scores
from growlm.methods.method import VersionedMethod
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_MEMORY = "memory/"

RoundFusion = Literal["mask", "softmax", "average", "none"]
Values = dict[str, Tensor]


class RecurrentKif(VersionedMethod):
    """Continues training one low-rank change in rounds of new and kept examples, each fused by importance.

    Args:
        rank: rank of the change.
        target_modules: names of the linears, such as q_proj; None: all linears of the layers.
        inner_steps: steps on the new skill in a round.
        outer_steps: steps on the memory in a round.
        outer_rate: learning rate of the outer steps, as a multiple of that of the inner ones.
        memory_share: share of each phase's examples that is kept, at least one.
        fusion: how the two changes of a round are put together: ``mask``, ``softmax``, ``average``, or ``none``.
        order: the measure of importance: ``first``, ``second`` or ``mixed`` order, or any other file of
            growlm/methods/importance.
        important_share: which share of the elements is important (mask).
        both_share: share of the inner change where an element is important to both loops (mask).
        neither_share: share of the inner change where it is to neither (mask), or everywhere (average).
        temperature: the smaller, the closer to the one or the other (softmax).
        beta1: smoothing of the sensitivity over the steps.
        beta2: smoothing of its uncertainty.
    """

    encoder_decoder = True

    def __init__(
        self,
        rank: int = 8,
        target_modules: list[str] | None = None,
        inner_steps: int = 8,
        outer_steps: int = 4,
        outer_rate: float = 10 / 3,
        memory_share: float = 0.02,
        fusion: RoundFusion = "mask",
        order: str = "first",
        important_share: float = 0.2,
        both_share: float = 0.4,
        neither_share: float = 0.5,
        temperature: float = 0.25,
        beta1: float = 0.85,
        beta2: float = 0.85,
    ) -> None:
        check_shares(
            "recurrent_kif",
            {
                "memory_share": memory_share,
                "important_share": important_share,
                "both_share": both_share,
                "neither_share": neither_share,
                "beta1": beta1,
                "beta2": beta2,
            },
        )
        for option, value in (("inner_steps", inner_steps), ("outer_steps", outer_steps)):
            check_at_least(f"recurrent_kif {option}", value, 1)
        for positive, number in (("outer_rate", outer_rate), ("temperature", temperature)):
            check_positive(f"recurrent_kif {positive}", number)
        self.rank = rank
        self.target_modules = target_modules
        self.inner_steps = inner_steps
        self.outer_steps = outer_steps
        self.outer_rate = outer_rate
        self.memory_share = memory_share
        self.fusion = fusion
        self.important_share = important_share
        self.both_share = both_share
        self.neither_share = neither_share
        self.temperature = temperature
        self._inner, self._outer = Importance(beta1, beta2, order), Importance(beta1, beta2, order)
        self._trained: Values = {}
        self._memory = ReplayBuffer()
        self._pad_id = 0
        self._steps = 0
        self._old_rows = 0
        self._kept_rows = 0
        self._at_start: Values = {}
        self._after_inner: Values = {}
        self._before_step: Values = {}

    def kinds(self) -> dict[str, ModuleKind]:
        """Return a low-rank change."""
        return {"lora": module_kinds.build("lora", {"rank": self.rank, "target_modules": self.target_modules})}

    @property
    def replayed_rows(self) -> int:
        """How many rows the outer loops have trained on."""
        return self._old_rows

    @property
    def kept_rows(self) -> int:
        """How many examples the memory holds."""
        return self._kept_rows

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Read the memory of the earlier phases, if there were any."""
        self._trained = dict(stack.module_parameters(name))
        self._pad_id = batches.pad_id
        last = self.continues(stack)
        if last is not None:
            self._memory = ReplayBuffer.kept_by(stack, last, _MEMORY)

    # -- a step --------------------------------------------------------------------------------------------------------

    @property
    def _in_round(self) -> int:
        """How many steps of the round have been taken."""
        return self._steps % (self.inner_steps + self.outer_steps)

    @property
    def _on_memory(self) -> bool:
        return bool(self._memory.examples) and self._in_round >= self.inner_steps

    def batch(self, batch: Batch) -> Batch:
        """Return replayed examples in the outer loop, drawn with replacement, as many as the batch has."""
        if self._memory.examples and self._in_round == 0:
            self._at_start = self._values()
            self._inner.clear()
        if not self._on_memory:
            return batch
        if self._in_round == self.inner_steps:
            self._after_inner = self._values()
        drawn = torch.randint(len(self._memory.examples), (len(batch.input_ids),)).tolist()
        self._old_rows += len(drawn)
        return collate([self._memory.examples[index] for index in drawn], self._pad_id).to(batch.input_ids.device)

    @torch.no_grad()
    def after_backward(self) -> None:
        """Add the gradients to the importance that the loop measures."""
        importance = self._outer if self._on_memory else self._inner
        for name, parameter in self._trained.items():
            if parameter.grad is not None:
                importance.see(name, parameter, parameter.grad)
        self._before_step = self._values() if self._on_memory else {}

    @torch.no_grad()
    def after_step(self) -> None:
        """Scale an outer step, and fuse at the end of a round."""
        for name, before in self._before_step.items():
            parameter = self._trained[name]
            parameter.copy_(before + self.outer_rate * (parameter - before))
        self._steps += 1
        if self._at_start and self._in_round == 0:
            self._fuse()

    def _values(self) -> Values:
        return {name: parameter.detach().clone() for name, parameter in self._trained.items()}

    # -- the end of a round, and of the phase --------------------------------------------------------------------------

    @torch.no_grad()
    def _fuse(self) -> None:
        if self.fusion != "none":
            weights = self._weights()
            for name, parameter in self._trained.items():
                parts = (self._at_start[name], self._after_inner[name], parameter, *weights[name])
                parameter.copy_(fused_round(*(part.to(parameter.device) for part in parts)))
        self._at_start, self._after_inner = {}, {}

    def _weights(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Decide how much of the inner and of the outer change each element keeps."""
        inner, outer = (normalised(importance.elements(self._trained)) for importance in (self._inner, self._outer))
        if self.fusion == "mask":
            new, old = (important(scores, self.important_share) for scores in (inner, outer))
            return {name: mask_weights(new[name], old[name], self.both_share, self.neither_share) for name in inner}
        if self.fusion == "softmax":
            shares = {name: softmax_share(outer[name], inner[name], self.temperature) for name in inner}
        else:
            shares = {name: torch.full_like(scores, self.neither_share) for name, scores in inner.items()}
        return {name: (share, 1 - share) for name, share in shares.items()}

    def end(self, stack: "ModuleStack", batches: StepBatches) -> dict[str, Tensor]:
        """Fuse a round that was cut short in its outer loop, and keep examples of the phase."""
        if self._after_inner:
            self._fuse()
        own, old = (
            normalised(unit_scores(importance.elements(self._trained), "rank"))
            for importance in (self._inner, self._outer)
        )
        generator = random.Random(f"recurrent_kif/{batches.seed}/{len(self._memory.seen)}")
        memory = self._memory.after(batches.examples, "reservoir", self.memory_share, None, generator)
        self._kept_rows = len(memory.examples)
        tensors = {_MEMORY + key: value for key, value in memory.to_tensors().items()}
        return kept_tensors(old if self._memory.examples else own, own) | tensors

    # -- resuming ------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the importance so far, how many steps there were, and the values within a round."""
        return {
            "inner": self._inner.state_dict(),
            "outer": self._outer.state_dict(),
            "steps": self._steps,
            "replayed_rows": self._old_rows,
            "at_start": dict(self._at_start),
            "after_inner": dict(self._after_inner),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._inner.load_state_dict(state["inner"])
        self._outer.load_state_dict(state["outer"])
        self._steps, self._old_rows = state["steps"], state["replayed_rows"]
        self._at_start, self._after_inner = dict(state["at_start"]), dict(state["after_inner"])
