"""A phase: the training of one skill by one method, as a LightningModule."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from growlm.data.batches import Batch, StepBatches
from growlm.data.encode import Encoded
from growlm.errors import GrowlmError
from growlm.files import check_name
from growlm.manifest.path import Path as StackPath
from growlm.manifest.store import WORK
from growlm.methods.method import Method
from growlm.registry import methods
from growlm.skills.skill import Skill
from growlm.stack.context import context_length, pad_id
from growlm.stack.stack import ModuleStack
from growlm.train.curve import LossCurve
from growlm.train.resume import StepLoader
from growlm.train.schedule import schedule_factor
from growlm.train.score_cache import ScoreCache

BASE_SKILL = "stories"


class GrowPhase(LightningModule):
    """Trains one skill on a stack by one method.

    Args:
        skill: name of the skill, or a ``.jsonl`` file of your own.
        skill_options: the skill's options.
        name: name of the new module; None: the skill's.
        stack: folder of the stack; it is begun if it is not there.
        base: the base of a new stack: a shipped one's name, a folder, or a Hugging Face model id; None: the
            default base, or the one that the stack stands on.
        on: what to grow on: ``all`` modules, ``none``, or names joined by ``+``.
        method: name of the method.
        method_options: the method's options.
        batch_size: examples per step.
        max_length: greatest number of tokens of an example.
        learning_rate: highest learning rate of AdamW.
        weight_decay: weight decay of AdamW.
        warmup: share of the steps in which the learning rate rises.
        num_scored: how many test examples of each skill are scored, before and after.
        rescore: score the older skills again when the phase is finished.
        metric: what the skill is scored by from now on instead of its own metric: ``token_accuracy``, or ``loss``; both
            need no answer to be generated and tell models apart that answer nothing right yet.
        router: what is to choose paths and learns the new module when it is finished: ``ridge``, ``arrow``, ``learned``
            (of method ``pmoe``), or ``none`` to leave the stack's router as it is.
        router_options: the router's options.
        stories: a text file, stories apart by ``<|endoftext|>`` lines, to measure the base's retention on; None:
            TinyWorld's stories.
        seed: seed of all randomness of the phase.
        restart: discard an unfinished phase that is in the way.
    """

    def __init__(
        self,
        skill: str,
        skill_options: dict[str, Any] | None = None,
        name: str | None = None,
        stack: Path = Path("checkpoints/stack"),
        base: str | None = None,
        on: str = "all",
        method: str = "grow",
        method_options: dict[str, Any] | None = None,
        batch_size: int = 16,
        max_length: int = 512,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.0,
        warmup: float = 0.05,
        num_scored: int = 100,
        rescore: bool = True,
        metric: str | None = None,
        router: str = "ridge",
        router_options: dict[str, Any] | None = None,
        stories: str | None = None,
        seed: int = 0,
        restart: bool = False,
    ) -> None:
        super().__init__()
        if skill.endswith((".jsonl", ".jsonl.xz")):
            skill_options = {"train": skill, **(skill_options or {})}
            name = name or Path(skill).name.partition(".")[0].lower()
            skill = "jsonl"
        self.settings: dict[str, Any] = {
            "skill": skill,
            "skill_options": skill_options or {},
            "name": check_name(name or skill, "module"),
            "on": on,
            "method": method,
            "method_options": method_options or {},
            "batch_size": batch_size,
            "max_length": max_length,
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "warmup": warmup,
            "num_scored": num_scored,
            "rescore": rescore,
            "metric": metric,
            "router": router,
            "router_options": router_options or {},
            "stories": stories,
            "seed": seed,
        }
        self._check_settings()
        self.skill_name = skill
        self.name: str = self.settings["name"]
        self.folder = stack
        self.base = base
        self.on = on
        self.seed = seed
        self.restart = restart
        self.batch_size = batch_size
        self.max_length = max_length
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.share_cache(ScoreCache())
        self.method: Method = methods.build(method, method_options)
        self.tokens_seen = 0
        self.rows_seen = 0
        self.curve = LossCurve()
        self._seconds_before = 0.0
        self._started: float | None = None
        # in a list, so that the stack is no submodule: Lightning is to see, move and save the new module only
        self._stack: list[ModuleStack] = []

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before an interruption included."""
        return self._seconds_before + (0.0 if self._started is None else time.monotonic() - self._started)

    @property
    def num_truncated(self) -> int:
        """How many of the examples were longer than ``max_length`` or the base's context, so that prompts were cut."""
        return sum(example.cut > 0 for example in self.batches.examples)

    def share_cache(self, memory: ScoreCache) -> None:
        """Shares with other phases what they have in common with this one.

        Args:
            memory: the memory that they share.

        Raises:
            GrowlmError: if the skill cannot be built, or not be scored by that metric.
        """
        self.memory = memory
        self.skill: Skill = memory.skill(self.skill_name, self.settings["skill_options"], self.settings["metric"])

    def _check_settings(self) -> None:
        if self.settings["name"] == BASE_SKILL:
            raise GrowlmError(f"a module named {BASE_SKILL!r} would hide the base's own scores: give another --name")
        least = {"batch_size": 1, "max_length": 2, "num_scored": 1, "learning_rate": 0, "weight_decay": 0, "warmup": 0}
        for key, smallest in least.items():
            if not self.settings[key] >= smallest:
                raise GrowlmError(f"{key} {self.settings[key]} is too small: give {smallest} or more")

    # -- the stack and what is trained on it ---------------------------------------------------------------------------

    @property
    def stack(self) -> ModuleStack:
        """The stack that the phase works on."""
        return self._stack[0]

    def begin(self, stack: ModuleStack, on: StackPath) -> None:
        """Attaches the new module to a stack and prepares its training.

        Args:
            stack: the stack as it is.
            on: the path to grow on.

        Raises:
            GrowlmError: naming the first example that cannot be used, if there is none, or if the method has nothing
                to train.
        """
        self._stack = [stack]
        self.kinds = self.method.build(stack, self.skill)
        self.continues = self.method.continues(stack)
        stack.attach(self.name, self.kinds, on, self.seed, self.continues)
        self.batches = StepBatches(self._encoded_examples(), self.batch_size, self.seed, pad_id(stack))
        self.method.begin(stack, self.name, self.batches)
        self.trained = nn.ParameterDict(
            {key.replace(".", "/"): value for key, value in stack.module_parameters(self.name).items()}
        )
        declared = {id(parameter) for parameter in self.method.parameters(stack, self.name)}
        for parameter in self.trained.values():
            parameter.requires_grad_(id(parameter) in declared)
        if not any(parameter.requires_grad for parameter in self.trained.values()):
            raise GrowlmError(f"method {self.settings['method']!r} with these options has nothing to train")

    def _encoded_examples(self) -> list[Encoded]:
        max_length = min(self.max_length, context_length(self.stack))
        examples = self.memory.encoded(self.stack, self.skill, max_length)
        if not examples:
            raise GrowlmError(f"skill {self.skill_name!r} has no training examples")
        return examples

    def train_dataloader(self) -> StepLoader[Batch]:
        """Serves the training examples step by step."""
        share = self.batches.share(self.trainer.global_rank, self.trainer.world_size)
        return StepLoader(share, int(self.trainer.max_steps))

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Moves a batch to the device of the phase."""
        return batch.to(device)

    # -- a step --------------------------------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Puts the stack beside the trained module and into training mode."""
        self._started = time.monotonic()
        nn.Module.to(self.stack, self.device)
        self.stack.merge_frozen(offload_to=self.folder / WORK)
        self.stack.train()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Computes the method's loss of a batch."""
        batch = self.method.batch(batch)
        self.tokens_seen += batch.num_tokens
        self.rows_seen += len(batch.input_ids)
        loss = self.method.loss(self.stack, batch)
        self.curve.add(loss, self.trainer.global_step, int(self.trainer.max_steps))
        self.log("loss", loss)
        return loss

    def on_after_backward(self) -> None:
        """Refuses a declared tensor without a gradient: it would silently not train."""
        for key, parameter in self.trained.items():
            if parameter.requires_grad and parameter.grad is None:
                raise GrowlmError(f"tensor {key.replace('/', '.')!r} was to be trained but got no gradient")

    def configure_gradient_clipping(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> None:
        """Clips as the trainer is told, then shows the method the gradients."""
        super().configure_gradient_clipping(optimizer, *args, **kwargs)
        self.method.after_backward()

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Takes the optimizer's step, then lets the method correct it."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.method.after_step()

    def configure_optimizers(self) -> Any:
        """Makes an optimizer of this phase's own, over the declared tensors only."""
        declared = [parameter for parameter in self.trained.values() if parameter.requires_grad]
        optimizer = AdamW(declared, lr=self.learning_rate, weight_decay=self.weight_decay, betas=(0.9, 0.95))
        num_steps = int(self.trainer.max_steps)
        warmup_steps = round(self.warmup * num_steps)
        schedule = LambdaLR(optimizer, lambda step: schedule_factor("cosine", step, num_steps, warmup_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # -- resuming ------------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the method's state and what was counted."""
        checkpoint["growlm"] = {
            "method": self.method.state_dict(),
            "tokens_seen": self.tokens_seen,
            "rows_seen": self.rows_seen,
            "curve": self.curve.state_dict(),
            "seconds": self.seconds,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes the method's state and what was counted back."""
        self.method.load_state_dict(checkpoint["growlm"]["method"])
        self.tokens_seen = checkpoint["growlm"]["tokens_seen"]
        self.rows_seen = checkpoint["growlm"]["rows_seen"]
        self.curve.load_state_dict(checkpoint["growlm"]["curve"])
        self._seconds_before = checkpoint["growlm"]["seconds"]
