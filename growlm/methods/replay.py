"""Replay: another method, with examples of earlier skills mixed into its batches.

Rehearsal is as old as the problem (Robins 1995, "Catastrophic forgetting, rehearsal and pseudorehearsal"); for
language models a small share of old data is the baseline to beat (TRACE, arXiv 2310.06762; SAPT and SEEKR replay 1 to
10 %). Which examples are kept is decided when a phase ends: by reservoir sampling over all examples that there were
(algorithm R, Vitter 1985), or equally many of every phase. The newest buffer of the stack goes into the next one,
whichever methods grew the modules between.

Old rows are put under a batch, they replace none: the wrapped method sees the same new examples in the same order, and
``share`` of all rows are old over a whole phase, rounded down. They are drawn uniformly, with replacement. The loss is
the wrapped method's of the mixed batch, so that an old token counts as much as a new one.

With ``answers: own`` (on-policy replay, arXiv 2605.29495) what is rehearsed are the kept prompts with answers that the
model before the phase samples itself, anew in every phase, for stale ones are off-policy: training on a model's own
tokens moves it least. Of every earlier skill the ``pick_share`` that ``pick`` chooses is replayed: the answers with the
highest mean log-probability, or any. The paper's other pick, by the skill's metric, would need the metric and its data,
which are not kept; gold answers and random picks are its controls. In a conversation only the last answer is replaced.

The examples lie as token ids in the module's folder: whoever gets the stack can read them.

Cost per step: that of the wrapped method with 1 / (1 - share) times the rows; own answers cost one generated answer per
kept example when a phase begins. Kept: the examples, 5 bytes per token.
Proved by tests/golden/test_replay.py and tests/contracts/test_every_method.py.
"""

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from growlm.data.batches import Batch, StepBatches, collate, join
from growlm.data.encode import Encoded
from growlm.errors import GrowlmError, check_at_least, check_positive
from growlm.manifest.path import Path
from growlm.methods._replay_buffer import ReplayBuffer, Selection
from growlm.methods._sampling import mean_log_probabilities, own_answers
from growlm.methods.method import WRAPPED, Method, VersionedMethod
from growlm.modules.kind import ModuleKind
from growlm.registry import methods
from growlm.skills.skill import Skill

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_OWN = "replay/"


class Replay(Method):
    """Trains by another method while rehearsing examples of earlier skills.

    Args:
        method: the method that is wrapped.
        method_options: its options.
        share: share of old examples among the trained rows; with 0 it is the wrapped method.
        selection: which examples are kept: any with the same probability (``reservoir``), or equally many of every
            skill (``balanced``).
        capacity: how many examples are kept in all; None: of every phase the same share as is replayed.
        answers: rehearse the ``gold`` answers, or the model's ``own``.
        pick: which own answers: those that the model finds likeliest (``confidence``), or any (``random``).
        pick_share: how many of every earlier skill's own answers are rehearsed, at least one.
        temperature: of sampling own answers.
        max_answer_tokens: longest own answer.
    """

    def __init__(
        self,
        method: str = WRAPPED,
        method_options: dict[str, Any] | None = None,
        share: float = 0.1,
        selection: Selection = "reservoir",
        capacity: int | None = None,
        answers: Literal["gold", "own"] = "gold",
        pick: Literal["confidence", "random"] = "confidence",
        pick_share: float = 0.5,
        temperature: float = 0.1,
        max_answer_tokens: int = 96,
    ) -> None:
        if not 0 <= share < 1:
            raise GrowlmError(f"replay share {share} is not a share below 1, such as 0.1")
        if capacity is not None:
            check_at_least("replay capacity", capacity, 1, otherwise="null for the share")
        if not 0 < pick_share <= 1:
            raise GrowlmError(f"replay pick_share {pick_share} is not above 0 and at most 1")
        check_positive("replay temperature", temperature)
        check_at_least("replay max_answer_tokens", max_answer_tokens, 1)
        if method == "replay":
            raise GrowlmError("replay cannot wrap itself: give the method that is to be trained with, such as grow")
        self.inner: Method = methods.build(method, method_options)
        if not self.inner.trains:
            raise GrowlmError(
                f"replay cannot wrap {method}, which has no batches that old examples could be mixed into"
            )
        if isinstance(self.inner, VersionedMethod):
            self.inner.wrapper = "replay"
        self.inference = self.inner.inference
        self.encoder_decoder = self.inner.encoder_decoder
        self.at_once = self.inner.at_once
        self.share = share
        self.selection = selection
        self.capacity = capacity
        self.answers = answers
        self.pick = pick
        self.pick_share = pick_share
        self.temperature = temperature
        self.max_answer_tokens = max_answer_tokens
        self._buffer = ReplayBuffer()
        self._rehearsed: tuple[Encoded, ...] = ()
        self._pad_id = 0
        self._new_rows = 0
        self._old_rows = 0
        self._generated_rows = 0
        self._kept_rows = 0

    @property
    def replayed_rows(self) -> int:
        """How many old rows the phase has trained on so far."""
        return self._old_rows + self.inner.replayed_rows

    @property
    def extra_forward_rows(self) -> int:
        """How many rows the wrapped method's loss has looked at besides."""
        return self.inner.extra_forward_rows

    @property
    def generated_rows(self) -> int:
        """How many own answers were sampled, and what the wrapped method has had written."""
        return self._generated_rows + self.inner.generated_rows

    @property
    def kept_rows(self) -> int:
        """How many examples are kept, with those of the wrapped method."""
        return self._kept_rows + self.inner.kept_rows

    # -- what the wrapped method decides -------------------------------------------------------------------------------

    def build(self, stack: "ModuleStack", skill: Skill) -> dict[str, ModuleKind]:
        """Build what the wrapped method builds."""
        return self.inner.build(stack, skill)

    def grow_on(self, stack: "ModuleStack", on: Path) -> Path:
        """Return the path of the wrapped method."""
        return self.inner.grow_on(stack, on)

    def continues(self, stack: "ModuleStack") -> str | None:
        """Return what the wrapped method continues."""
        return self.inner.continues(stack)

    def parameters(self, stack: "ModuleStack", name: str) -> Iterable[nn.Parameter]:
        """Return what the wrapped method trains."""
        return self.inner.parameters(stack, name)

    def loss(self, stack: "ModuleStack", batch: Batch) -> Tensor:
        """Compute the wrapped method's loss of the mixed batch."""
        return self.inner.loss(stack, batch)

    def after_backward(self) -> None:
        """Show the wrapped method the gradients."""
        self.inner.after_backward()

    def after_step(self) -> None:
        """Have the wrapped method correct the parameters."""
        self.inner.after_step()

    # -- what is replayed ----------------------------------------------------------------------------------------------

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Read the newest buffer of the stack, if there is one."""
        self._pad_id = batches.pad_id
        keepers = [
            record.name
            for record in stack.manifest.modules
            if any(key.startswith(_OWN) for key in record.method_tensors)
        ]
        if keepers:
            self._buffer = ReplayBuffer.kept_by(stack, keepers[-1], _OWN)
        self._rehearsed = self._buffer.examples
        if self.answers == "own" and self._rehearsed and self.share > 0:
            self._rehearsed = self._own_answers(stack, name, f"replay/{batches.seed}/{name}")
        self.inner.begin(stack, name, batches)

    def _own_answers(self, stack: "ModuleStack", name: str, seed: str) -> tuple[Encoded, ...]:
        """Sample answers of the model before the phase to the kept prompts, and pick some of every owner's."""
        last = self.continues(stack)
        before = stack.parents()[name] if last is None else stack.path_of(last)
        kept, limit = self._buffer.examples, self.max_answer_tokens
        found = own_answers(stack, before, kept, limit, self.temperature, seed)
        self._generated_rows = len(found)
        if self.pick == "confidence":
            ranks = mean_log_probabilities(stack, before, found)
        else:
            generator = random.Random(seed)
            ranks = [generator.random() for _ in found]
        picked: list[Encoded] = []
        for owner in sorted(set(self._buffer.owners)):
            rows = [row for row, own in enumerate(self._buffer.owners) if own == owner]
            best = sorted(rows, key=lambda row: -ranks[row])[: max(1, round(self.pick_share * len(rows)))]
            picked += [found[row] for row in best]
        return tuple(picked)

    def batch(self, batch: Batch) -> Batch:
        """Add as many old rows to the batch as are due, and have the wrapped method change the whole."""
        if self._rehearsed and self.share > 0:
            self._new_rows += len(batch.input_ids)
            due = int(self.share / (1 - self.share) * self._new_rows + 1e-9) - self._old_rows
            self._old_rows += due
            if due:
                drawn = torch.randint(len(self._rehearsed), (due,)).tolist()
                old = collate([self._rehearsed[index] for index in drawn], self._pad_id)
                batch = join(batch, old.to(batch.input_ids.device), self._pad_id)
        return self.inner.batch(batch)

    def end(self, stack: "ModuleStack", batches: StepBatches) -> dict[str, Tensor]:
        """Keep what the wrapped method keeps, and examples of this phase beside those of the earlier ones."""
        kept = self.inner.end(stack, batches)
        for key in kept:
            if key.startswith(_OWN):
                raise GrowlmError(f"replay cannot wrap a method that keeps a tensor {key!r}: that name is its own")
        if self.share == 0 and self.capacity is None:
            return kept
        generator = random.Random(f"replay/{batches.seed}/{len(self._buffer.seen)}")
        buffer = self._buffer.after(batches.examples, self.selection, self.share, self.capacity, generator)
        self._kept_rows = len(buffer.examples)
        return kept | {_OWN + key: value for key, value in buffer.to_tensors().items()}

    # -- resuming ------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return how many rows of either sort there were, and the wrapped method's state."""
        return {"new_rows": self._new_rows, "replayed_rows": self._old_rows, "inner": self.inner.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._new_rows, self._old_rows = state["new_rows"], state["replayed_rows"]
        self.inner.load_state_dict(state["inner"])
