"""On-policy distillation: the modules of a stack are compressed into one ("grow, then distil").

A student that imitates its teacher on texts of its own learns where its own mistakes lead it, and forgets less than one
that imitates given texts (on-policy distillation: Agarwal et al. 2023, arXiv 2306.13649; for continual learning, SDFT:
arXiv 2601.19897). There the teacher is the model with a demonstration in its context, which takes a base that learns in
context; here it is the stack itself, with the path that its router chooses for each prompt, or all its modules where
it has none. The student is a new module on the bare base. For every prompt x of the phase's skill

    y ~ student(· | x),        loss = mean over the tokens of y of KL(teacher(· | x, y) ‖ student(· | x, y)),

over the whole vocabulary, without gradient through the draw. With the skill ``mixture`` of all skills, one module
answers for all of them. The first ``warmup_steps`` steps are plain training on the examples: a student that says
nothing of use has nothing to be corrected in. A stack without modules has no teacher, and all of the phase is plain
training.

What differs from SDFT: the teacher is frozen (no moving average of the student), and all tokens of y are scored.

Cost per step: a sampled answer for each prompt, a forward pass of the teacher, forward and backward through the
student. Nothing is kept. Proved by tests/golden/test_distill.py and tests/contracts/test_every_method.py.

Shapes: B rows, N sampled tokens, V vocabulary.
"""

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from growlm.data.batches import IGNORED, Batch, StepBatches, collate
from growlm.data.encode import Encoded
from growlm.errors import check_at_least, check_positive
from growlm.manifest.path import Path
from growlm.methods._sampling import sample_answers
from growlm.methods.method import Method
from growlm.metrics.divergence import divergence
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds
from growlm.skills.skill import Skill
from growlm.stack.loss import trained_logits

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


class Distill(Method):
    """Trains one module on the bare base to answer as the stack does.

    Args:
        warmup_steps: steps of plain training on the examples at first.
        max_new_tokens: longest sampled answer in tokens.
        temperature: what the student's logits are divided by to sample.
        weights: what the student is: a low-rank change (``lora``), or a difference of ``all`` weights of the base.
        rank: rank of the low-rank change.
    """

    inference = "oracle"
    encoder_decoder = True

    def __init__(
        self,
        warmup_steps: int = 20,
        max_new_tokens: int = 48,
        temperature: float = 1.0,
        weights: Literal["lora", "all"] = "lora",
        rank: int = 32,
    ) -> None:
        check_at_least("distill warmup_steps", warmup_steps, 0)
        check_positive("distill temperature", temperature)
        check_at_least("distill max_new_tokens", max_new_tokens, 1)
        self.warmup_steps = warmup_steps
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.weights = weights
        self.rank = rank
        self._name = ""
        self._seed = 0
        self._teacher: Path = ()
        self._steps = 0
        self._rows = 0

    @property
    def extra_forward_rows(self) -> int:
        """How many rows the teacher was run on."""
        return self._rows

    @property
    def generated_rows(self) -> int:
        """How many answers the student has sampled."""
        return self._rows

    def grow_on(self, stack: "ModuleStack", on: Path) -> Path:
        """Return the empty path: the bare base."""
        return ()

    def build(self, stack: "ModuleStack", skill: Skill) -> dict[str, ModuleKind]:
        """Build the student; see ``Method.build``."""
        if self.weights == "lora":
            return {"lora": module_kinds.build("lora", {"rank": self.rank})}
        return {"dense": module_kinds.build("dense", {"weights": "all"})}

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Note who teaches."""
        self._name, self._seed = name, batches.seed
        self._teacher = stack.manifest.current()

    def loss(self, stack: "ModuleStack", batch: Batch) -> Tensor:
        """Compute the distance from the teacher on answers that the student samples; see ``Method.loss``."""
        self._steps += 1
        if not self._teacher or self._steps <= self.warmup_steps:
            return super().loss(stack, batch)
        room = stack.context_length - self.max_new_tokens
        prompts = [prompt[-room:] for prompt in _prompts(batch)]
        seed = f"distill/{self._seed}/{self._name}/{self._steps}"
        with torch.no_grad():
            answers = sample_answers(stack, stack.path, prompts, self.max_new_tokens, self.temperature, seed)
        rows = [
            Encoded("", (*prompt, *answer), (*[False] * len(prompt), *[True] * len(answer)))
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        own = collate(rows, stack.pad_id).to(batch.input_ids.device)
        self._rows += len(rows)
        with torch.no_grad(), stack.active_rows(self._teachers(stack, prompts)):
            teacher_NV, _ = trained_logits(stack, own)
        student_NV, _ = trained_logits(stack, own)
        return divergence(teacher_NV, student_NV).mean()

    def state_dict(self) -> dict[str, int]:
        """Return what was counted."""
        return {"steps": self._steps, "extra_forward_rows": self._rows}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore what ``state_dict`` returned."""
        self._steps, self._rows = state["steps"], state["extra_forward_rows"]

    def _teachers(self, stack: "ModuleStack", prompts: list[tuple[int, ...]]) -> list[Path]:
        """Choose the path that teaches for each prompt."""
        return [self._teacher] * len(prompts) if stack.router is None else stack.choose_paths(prompts)


def _prompts(batch: Batch) -> list[tuple[int, ...]]:
    """Return what precedes the first trained token of each row, at least one token."""
    first_B = (batch.labels != IGNORED).int().argmax(1)
    return [tuple(row[: max(1, first)]) for row, first in zip(batch.input_ids.tolist(), first_B.tolist(), strict=True)]
