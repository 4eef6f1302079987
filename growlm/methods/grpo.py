"""GRPO: after a warm-up, the model is trained on its own answers, weighted by the skill's metric.

Shao et al. 2024, "DeepSeekMath" (arXiv 2402.03300), eq. 3, without the term KL and without the standard deviation in
the advantage (Liu et al. 2025, arXiv 2503.20783), as in studies of forgetting (arXiv 2509.04259, 2510.18874), which
find that training on a model's own tokens moves it least. For each prompt the model samples G answers; r of an answer
is its score by the skill's metric, from 0 to 1, and with p_old the model that sampled

    A = r - mean of r over the G answers,    w = p(token) / p_old(token)
    loss = - mean over the tokens of min(w A, clip(w, 1 - ε, 1 + ε) A)

Groups in which all answers have the same reward teach nothing and are left out; a step without any other group changes
the weights by the optimizer's momentum alone. Nothing is learned from answers that are never right, so the first
``warmup_steps`` steps are plain training on the skill's own answers.

What differs: every answer is used for one step, so that p_old is p, the ratio w is 1 and nothing is clipped; the
gradient is that of A log p. It makes its own rows, and so replay cannot wrap it.

Each phase continues the last one's module. It needs a metric that judges whole answers: a phase that is scored by
token_accuracy or loss is refused.

Cost per step: ``prompts`` x ``group`` generated answers, and a step of training on them; they are counted as the rows
and tokens of the phase. Nothing is kept. Proved by tests/golden/test_grpo.py and tests/contracts/test_every_method.py.

Shapes: N tokens of all answers.
"""

import random
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from growlm.data.batches import IGNORED, Batch, StepBatches, collate
from growlm.data.encode import Encoded, cut_prompt, encode_prompt
from growlm.errors import GrowlmError, check_at_least, check_positive
from growlm.methods._sampling import sample_answers
from growlm.methods.method import LoraOrDense
from growlm.metrics.scoring import Question, asked_questions
from growlm.modules.kind import ModuleKind
from growlm.skills.metric import ASKS_NOTHING
from growlm.skills.skill import Skill
from growlm.stack.loss import trained_token_losses

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


def clipped_loss(log_p_N: Tensor, old_log_p_N: Tensor, advantages_N: Tensor, clip: float) -> Tensor:
    """Compute - mean min(w A, clip(w, 1 - ε, 1 + ε) A), a scalar.

    Args:
        log_p_N: log-probabilities of the tokens, [N].
        old_log_p_N: those of the model that sampled them, [N].
        advantages_N: A of each token's answer, [N].
        clip: ε.
    """
    ratio_N = (log_p_N - old_log_p_N).exp()
    return -torch.minimum(ratio_N * advantages_N, ratio_N.clamp(1 - clip, 1 + clip) * advantages_N).mean()


def group_advantages(rewards: list[list[float]]) -> list[list[float] | None]:
    """Compute each answer's advantage over its group; None for a group in which all rewards are equal."""
    return [
        None if min(group) == max(group) else [reward - sum(group) / len(group) for reward in group]
        for group in rewards
    ]


class Grpo(LoraOrDense):
    """Continues training the same module, after a warm-up on the model's own answers and their scores.

    Args:
        warmup_steps: steps of plain training at first.
        prompts: prompts per step.
        group: answers that are sampled to each prompt.
        clip: ε, how far the ratio may move before it is clipped.
        temperature: of sampling.
        max_answer_tokens: longest sampled answer.
        num_examples: training examples whose prompts are drawn.
        weights: ``weights``, ``rank`` and ``target_modules``: the options of ``LoraOrDense``.
    """

    encoder_decoder = True

    def __init__(
        self,
        warmup_steps: int = 25,
        prompts: int = 2,
        group: int = 8,
        clip: float = 0.2,
        temperature: float = 1.0,
        max_answer_tokens: int = 64,
        num_examples: int = 512,
        **weights: Any,
    ) -> None:
        super().__init__(**weights)
        for option, value, least in (
            ("warmup_steps", warmup_steps, 0),
            ("prompts", prompts, 1),
            ("group", group, 2),
            ("max_answer_tokens", max_answer_tokens, 1),
            ("num_examples", num_examples, 1),
        ):
            check_at_least(f"grpo {option}", value, least)
        if not 0 < clip < 1:
            raise GrowlmError(f"grpo clip {clip} is not between 0 and 1")
        check_positive("grpo temperature", temperature)
        self.warmup_steps = warmup_steps
        self.prompts = prompts
        self.group = group
        self.clip = clip
        self.temperature = temperature
        self.max_answer_tokens = max_answer_tokens
        self.num_examples = num_examples
        self._skill: Skill | None = None
        self._stack: ModuleStack | None = None
        self._questions: list[tuple[tuple[int, ...], Question]] = []
        self._seed = ""
        self._pad_id = 0
        self._steps = 0
        self._advantages: list[float] = []
        self._generated_rows = 0

    @property
    def generated_rows(self) -> int:
        """How many answers the model has sampled."""
        return self._generated_rows

    def build(self, stack: "ModuleStack", skill: Skill) -> dict[str, ModuleKind]:
        """Note the skill, whose metric is the reward; see ``Method.build``.

        Raises:
            GrowlmError: if the skill is scored by a metric that judges no answers, or another method wraps this one.
        """
        if self.wrapper is not None:
            raise GrowlmError(
                f"{self.wrapper} cannot wrap grpo, which trains on rows of its own: give another method, such as "
                "sequential"
            )
        if skill.metric in ASKS_NOTHING:
            raise GrowlmError(
                f"grpo rewards whole answers, and the phase is scored by {skill.metric}, which judges none: leave the "
                "option metric out"
            )
        self._skill = skill
        return super().build(stack, skill)

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Note where the rows come from."""
        self._stack, self._pad_id, self._seed = stack, batches.pad_id, f"grpo/{batches.seed}/{name}"

    def batch(self, batch: Batch) -> Batch:
        """Return the batch while warming up; afterwards the model's own answers to some prompts in its place."""
        self._steps += 1
        self._advantages = []
        if self._steps <= self.warmup_steps:
            return batch
        rows, self._advantages = self._own_rows()
        own = collate(rows, self._pad_id).to(batch.input_ids.device)
        return replace(own, weight=batch.weight)

    def loss(self, stack: "ModuleStack", batch: Batch) -> Tensor:
        """Compute the loss of the own answers, or while warming up the task's; see ``Method.loss``."""
        if not self._advantages:
            return super().loss(stack, batch)
        log_p_N = -trained_token_losses(stack, batch)
        counts = (batch.labels != IGNORED).sum(1)
        advantages_N = torch.tensor(self._advantages, device=log_p_N.device).repeat_interleave(counts)
        return clipped_loss(log_p_N, log_p_N.detach(), advantages_N, self.clip)

    def _asked(self, stack: "ModuleStack") -> list[tuple[tuple[int, ...], Question]]:
        """Collect the questions of the skill's training examples, each with the tokens of its prompt."""
        assert self._skill is not None
        examples = list(islice(self._skill.examples("train"), self.num_examples))
        room = stack.context_length - self.max_answer_tokens
        asked = asked_questions(self._skill, "train", examples)
        prompts = [cut_prompt(encode_prompt(q.prompt, stack.tokenizer), room, q.prompt.cut)[-room:] for q in asked]
        return [(tuple(prompt), question) for prompt, question in zip(prompts, asked, strict=True)]

    def _own_rows(self) -> tuple[list[Encoded], list[float]]:
        """Sample and score answers; return those of groups with different rewards, each with its advantage."""
        assert self._stack is not None
        stack, seed = self._stack, f"{self._seed}/{self._steps}"
        self._questions = self._questions or self._asked(stack)
        drawn = random.Random(seed).choices(self._questions, k=self.prompts)
        prompts = [prompt for prompt, _ in drawn for _ in range(self.group)]
        answers = sample_answers(stack, stack.path, prompts, self.max_answer_tokens, self.temperature, seed)
        self._generated_rows += len(answers)
        texts = [stack.tokenizer.decode(answer, skip_special_tokens=True).strip() for answer in answers]
        rewards = [
            [question.score(text) for text in texts[number * self.group : (number + 1) * self.group]]
            for number, (_, question) in enumerate(drawn)
        ]
        rows = [
            Encoded("", (*prompt, *answer), (*[False] * len(prompt), *[True] * len(answer)))
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        kept: list[Encoded] = []
        advantages: list[float] = []
        for number, group in enumerate(group_advantages(rewards)):
            if group is not None:
                kept += rows[number * self.group : (number + 1) * self.group]
                advantages += group
        # one row without an advantage: every parameter has a gradient then, which is 0
        return (kept, advantages) if kept else (rows[:1], [0.0])

    def state_dict(self) -> dict[str, Any]:
        """Return what was counted."""
        return {"steps": self._steps, "generated_rows": self._generated_rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._steps, self._generated_rows = state["steps"], state.get("generated_rows", 0)
