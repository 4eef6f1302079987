"""Self-generated replay: what the model says of texts of its own is kept, and no example is stored.

Arxiv 2605.26097 (the objective of CFS, arXiv 2505.13811). Before phase t the model as it is, π, writes texts z from its
start token at temperature 1; then

    loss = task + c · mean over the tokens of z of KL(π(· | z) ‖ p(· | z)),

over the whole vocabulary; c of 1, 3 or 10 in the paper, 10 where one is used. A base that was trained on one kind of
text writes that kind from its start token, so that z is as good as its data; what later skills answer to is covered
only as far as their module writes it unasked.

What differs: the texts are drawn once per phase, ``num_texts`` of them, of which every step takes ``rows``, where the
paper draws 64 new ones a step. The rows are no examples of earlier skills, and so do not count as replayed ones; they
are counted as rows of extra forward passes (``extra_forward_rows``).

Cost per step: that of the trained kind on ``rows`` rows more, and two forward passes on these. Nothing is kept.
Proved by tests/golden/test_self_replay.py and tests/contracts/test_every_method.py.

Shapes: N tokens of the texts, V vocabulary.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from growlm.data.batches import Batch, StepBatches, collate
from growlm.data.encode import Encoded
from growlm.errors import GrowlmError, check_at_least
from growlm.manifest.path import Path
from growlm.methods._sampling import sample_texts
from growlm.methods.method import LoraOrDense
from growlm.metrics.divergence import divergence
from growlm.stack.loss import trained_logits

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


class SelfReplay(LoraOrDense):
    """Continues training the same module, which also has to go on saying what it said of texts of its own.

    Args:
        weight: c, how much the texts count beside the task.
        rows: texts per step.
        num_texts: texts that are written when a phase begins.
        length: tokens of each text.
        weights: ``weights``, ``rank`` and ``target_modules``: the options of ``LoraOrDense``.
    """

    def __init__(
        self,
        weight: float = 10.0,
        rows: int = 8,
        num_texts: int = 256,
        length: int = 64,
        **weights: Any,
    ) -> None:
        super().__init__(**weights)
        for option, value, least in (
            ("weight", weight, 0),
            ("rows", rows, 1),
            ("num_texts", num_texts, 1),
            ("length", length, 2),
        ):
            check_at_least(f"self_replay {option}", value, least)
        self.weight = weight
        self.rows = rows
        self.num_texts = num_texts
        self.length = length
        self._before: Path = ()
        self._pad_id = 0
        self._texts: tuple[Encoded, ...] = ()
        self._rows_seen = 0

    @property
    def extra_forward_rows(self) -> int:
        """How many rows of its own texts the model was run on, before and after counted as one."""
        return self._rows_seen

    @property
    def generated_rows(self) -> int:
        """How many texts the model has written."""
        return len(self._texts)

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Have the last version, or before the first the path without the module, write the texts."""
        last = self.continues(stack)
        self._before = stack.parents()[name] if last is None else stack.path_of(last)
        self._pad_id = batches.pad_id
        if self.weight > 0:
            length = min(self.length, stack.context_length)
            seed = f"self_replay/{batches.seed}/{name}"
            self._texts = sample_texts(stack, self._before, self.num_texts, seed, length)
            if not self._texts:
                raise GrowlmError("self_replay needs a base with a start or end token to begin texts with")

    def loss(self, stack: "ModuleStack", batch: Batch) -> Tensor:
        """Add the distance from the model before, on its own texts, to the task's loss; see ``Method.loss``."""
        task = super().loss(stack, batch)
        if not self._texts:
            return task
        drawn = torch.randint(len(self._texts), (self.rows,)).tolist()
        self._rows_seen += self.rows
        texts = collate([self._texts[index] for index in drawn], self._pad_id).to(task.device)
        with torch.no_grad(), stack.active(*self._before):
            before_NV, _ = trained_logits(stack, texts)
        now_NV, _ = trained_logits(stack, texts)
        return task + self.weight * divergence(before_NV, now_NV).mean()

    def state_dict(self) -> dict[str, int]:
        """Return what was counted."""
        return {"extra_forward_rows": self._rows_seen}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore what ``state_dict`` returned."""
        self._rows_seen = state["extra_forward_rows"]
