"""A phase: the training of one skill by one method, as a LightningModule that any Lightning trainer runs."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from growlm.base.attention import matmul_on_cpu
from growlm.base.embedding_rows import describe_twins
from growlm.data.batches import Batch
from growlm.errors import GrowlmError
from growlm.files import folder_lock
from growlm.manifest.path import format_path
from growlm.manifest.store import WORK
from growlm.methods.method import Method
from growlm.stack.checkpointing import checkpointed_layers
from growlm.stack.compiled import compare_uncompiled, compiled_layers
from growlm.stack.half_weights import half_frozen_linears
from growlm.stack.layer_split import lowest_layer, split_layers
from growlm.stack.stack import ModuleStack
from growlm.train.config import PhaseConfig
from growlm.train.hidden_cache import HiddenCache
from growlm.train.logs import PhaseLog
from growlm.train.loss_curve import LossCurve
from growlm.train.machine import compile_problem, keep_compiled_code
from growlm.train.prepare import PHASE_FILE, Prepared, prepare, training_summary
from growlm.train.processes import OtherProcesses
from growlm.train.progress import PhaseProgress
from growlm.train.result import Grown, Training, check_finite, commit, diverged, freeze_and_score, scores_before
from growlm.train.resume import ResumeCheckpoint, StepLoader, resume_path, step_seed
from growlm.train.schedule import schedule_factor
from growlm.train.score_cache import ScoreCache
from growlm.train.validate import Validation

_PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
_WORTH_COMPILING = 5e12
"""Tokens of a phase times parameters of the base from which on compiling takes less time than it saves."""
_COMPARED_BATCH = 30
"""Batch on which compiled layers are compared with uncompiled ones: by then a module changes what the base computes."""
_logger = logging.getLogger(__name__)


class GrowPhase(LightningModule):
    """Trains one skill on a stack by one method, and commits the module when ``Trainer.fit`` ends.

    ``setup`` prepares: it locks the stack's folder, attaches the module and checks everything. ``on_fit_start`` scores
    the bare base and merges what is frozen. ``on_fit_end`` proves that nothing frozen moved, freezes the module, scores
    every skill and writes the module into the stack's folder. Only the new module's parameters belong to this module.
    With the trainer's ``fast_dev_run`` all of this runs but for the writing: the stack's folder stays as it was.

    Args:
        config: the options, or the skill's name.
        cache: what the phase shares with others of this process.
        **options: the other options of ``PhaseConfig`` if a skill is named.

    Attributes:
        validation: measures the loss on the validation split.
        grown: the result, when the phase has ended; with ``fast_dev_run`` it is in memory only.

    Raises:
        GrowlmError: for an option out of range.
    """

    def __init__(self, config: PhaseConfig | str, cache: ScoreCache | None = None, **options: Any) -> None:
        super().__init__()
        self.config = config if isinstance(config, PhaseConfig) else PhaseConfig(config, **options)
        self.cache = cache or ScoreCache()
        self.losses = LossCurve()
        self.validation = Validation(self.config)
        self.grown: Grown | None = None
        self._work = self.config.stack / WORK
        self._prepared: Prepared | None = None
        self._hidden: HiddenCache | None = None
        self._before: dict[str, Any] = {}
        self._open = ExitStack()
        self._merged = self._open.enter_context(ExitStack())
        self._tokens, self._rows, self._seconds_before, self._started_at = 0, 0, 0.0, 0.0
        self._others = OtherProcesses()

    @property
    def scores_before(self) -> Mapping[str, Any]:
        """The scores of the bare base by module, from ``on_fit_start`` on."""
        return self._before

    @property
    def tokens_seen(self) -> int:
        """Tokens of all batches so far, without padding."""
        return self._tokens

    @property
    def prepared(self) -> Prepared:
        """The phase's parts, from ``setup`` on."""
        if self._prepared is None:
            raise GrowlmError("the phase is not set up yet: give it to a trainer's fit")
        return self._prepared

    @property
    def stack(self) -> ModuleStack:
        """The stack with the new module."""
        return self.prepared.stack

    @property
    def method(self) -> Method:
        """The method."""
        return self.prepared.method

    @property
    def resume_from(self) -> str | None:
        """The saved state of an interrupted phase, for ``Trainer.fit(phase, ckpt_path=phase.resume_from)``."""
        work = self.config.stack / WORK
        begun = (work / PHASE_FILE).exists()  # without it, a state is what a phase left in a folder that was removed
        path = resume_path(work) if begun and not self.config.restart else None
        return None if path is None else str(path)

    # -- beginning -----------------------------------------------------------------------------------------------------

    def configure_callbacks(self) -> list[Callback]:
        """Show the progress, save the training's state, and leave the folder in order if it fails."""
        if is_trial(self.trainer):
            self._work = Path(self._open.enter_context(TemporaryDirectory(prefix="growlm-")))
        every = self.config.checkpoint_every, self.config.checkpoint_seconds
        progress = [] if self.trainer.progress_bar_callback else [PhaseProgress(f"grow {self.config.module}")]
        resume = ResumeCheckpoint(self._work, {}, *every)
        return [*progress, self.validation, PhaseLog(), resume, _Close(self)]

    def setup(self, stage: str) -> None:
        """Lock the stack's folder, attach the new module and check everything.

        Raises:
            GrowlmError: see ``growlm.train.prepare``.
        """
        if self.trainer.is_global_zero:  # the others wait until the folder is in order
            self._open.enter_context(folder_lock(self.config.stack))
            self._prepare()
        self.trainer.strategy.barrier("prepared")
        if not self.trainer.is_global_zero:
            self._prepare()

    def _prepare(self) -> None:
        config, settings = self.config, trainer_settings(self.trainer)
        if is_trial(self.trainer):  # the trainer says how many steps, and nothing goes into the stack's folder
            config = replace(config, epochs=None, dry_run=True)
        self._prepared = replace(prepare(config, settings, self.cache), work=self._work)
        self.trainer.fit_loop.epoch_loop.max_steps = self.prepared.settings["steps"]  # epochs are counted in steps
        if self.prepared.batches.batch_size < self.trainer.world_size:
            raise GrowlmError(
                f"batch_size {self.prepared.batches.batch_size} is less than one example for each of "
                f"{self.trainer.world_size} processes"
            )
        if self.config.cache_hidden_states and self.trainer.world_size > 1:
            raise GrowlmError(
                "hidden states are cached by one process: leave cache_hidden_states out, or give 1 device"
            )
        self.trained = nn.ParameterDict({key.replace(".", "/"): value for key, value in self.prepared.trained.items()})

    def on_fit_start(self) -> None:
        """Score the bare base, and merge what is frozen."""
        prepared, stack = self.prepared, self.stack
        if prepared.num_truncated:
            _logger.warning(
                "%d of %d examples are longer than max_length: their prompts are cut, in training only",
                prepared.num_truncated,
                len(prepared.batches.examples),
            )
        if twins := prepared.answer_twins:
            _logger.warning(
                "the frozen head cannot tell these tokens of the answers apart: %s; train it with the module option "
                "embedding.outputs, or separate the base's rows (growlm.base.embedding_rows)",
                describe_twins(stack.tokenizer, twins),
            )
        _logger.info(training_summary(prepared))
        added, path = f"{prepared.num_parameters:,} new parameters", format_path(prepared.parents)
        _logger.info("module %r: %s on %s, everything else frozen", self.config.module, added, path)
        nn.Module.to(stack, self.device)
        if self.trainer.is_global_zero:
            self._before = scores_before(prepared, self.cache)
        self.trainer.strategy.barrier("scored")
        stack.merge_frozen(offload_to=prepared.work)
        self._merged.callback(stack.unmerge)
        if self.trainer.precision == "bf16-mixed":
            self._merged.enter_context(half_frozen_linears(stack))
        self._merged.enter_context(matmul_on_cpu(stack.base))
        if self.config.gradient_checkpointing:
            self._merged.enter_context(checkpointed_layers(stack))
        elif self._compiles():
            keep_compiled_code()
            self._merged.enter_context(compiled_layers(stack))
        if self.config.cache_hidden_states:
            with self.trainer.precision_plugin.forward_context():  # weights in bf16 need autocast
                split = self._merged.enter_context(split_layers(stack, lowest_layer(stack, self.config.module)))
            self._hidden = HiddenCache(split, prepared.batches, stack.architecture.width, prepared.work)
        stack.train()

    def _compiles(self) -> bool:
        """Return whether the decoder layers are compiled: as asked for, or where it pays."""
        asked, batches = self.config.compile, self.prepared.batches
        work = int(self.trainer.max_steps) * batches.mean_tokens * self.stack.base.num_parameters()
        if asked is False or (asked == "auto" and (work < _WORTH_COMPILING or self.trainer.world_size > 1)):
            return False
        packed = batches.row_length is not None
        problem = compile_problem(self.device) if packed else "only packed rows are compiled"
        if problem is not None and (packed or asked is True):
            _logger.info("the decoder layers run uncompiled: %s", problem)
        return problem is None

    def train_dataloader(self) -> StepLoader[Batch]:
        """Build the loader of all steps' batches."""
        per_step = int(self.trainer.accumulate_grad_batches)
        batches = self.prepared.batches.split(self.trainer.global_rank, self.trainer.world_size, per_step)
        # one batch at least: Lightning warns of a loader without any, and reads none of it where there are no steps
        return StepLoader(batches, max(1, int(self.trainer.max_steps) * per_step))

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch to the device of the phase."""
        return batch.to(device)

    def configure_optimizers(self) -> Any:
        """Build AdamW over the tensors that the method trains, with a cosine schedule."""
        declared = [parameter for parameter in self.trained.values() if parameter.requires_grad]
        if not self.method.trains:  # Lightning warns of no optimizer
            return AdamW([nn.Parameter(torch.zeros(0))])
        config, num_steps = self.config, int(self.trainer.max_steps)
        optimizer = AdamW(declared, lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.95))
        warmup_steps = round(config.warmup * num_steps)
        schedule = LambdaLR(optimizer, lambda step: schedule_factor("cosine", step, num_steps, warmup_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # -- a step --------------------------------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Start the clock."""
        self._started_at = time.monotonic()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the batch, so that dropout is the same after a resume; every process draws its own numbers."""
        torch.manual_seed(step_seed(self.config.seed, batch_idx, self.trainer.global_rank))

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Compute the method's loss of a batch.

        Raises:
            GrowlmError: if it is not finite.
        """
        weight, batch = batch.weight, self.method.batch(batch)
        self._tokens += batch.num_tokens
        self._rows += len(batch.input_ids) if batch.num_examples is None else batch.num_examples
        with self._hidden.reading(batch) if self._hidden else nullcontext():
            loss = self.method.loss(self.stack, batch)
            if batch_idx == _COMPARED_BATCH and self.stack.compiled_path is not None:
                compare_uncompiled(self.stack, loss, lambda: self.method.loss(self.stack, batch))
        if not torch.isfinite(loss):
            raise self._diverged(f"the loss is {loss.item():g}")
        self.losses.add(loss, batch_idx, int(self.trainer.max_steps) * int(self.trainer.accumulate_grad_batches))
        self.log("loss", loss)
        return {"loss": loss if weight == 1.0 else loss * weight, "mean_loss": loss.detach()}

    def on_after_backward(self) -> None:
        """Refuse a declared tensor without a gradient: it would silently not train."""
        for key, parameter in self.trained.items():
            if parameter.requires_grad and parameter.grad is None:
                raise GrowlmError(f"tensor {key.replace('/', '.')!r} was to be trained but got no gradient")

    def configure_gradient_clipping(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> None:
        """Clip as the trainer asks, then show the method the gradients.

        Raises:
            GrowlmError: if the gradient is not finite.
        """
        gradients = [parameter.grad for parameter in self.trained.values() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if not torch.isfinite(norm):
            raise self._diverged(f"the gradient's norm is {norm.item():g}")
        super().configure_gradient_clipping(optimizer, *args, **kwargs)
        self.method.after_backward()

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Take the optimizer's step, then let the method correct it."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.method.after_step()

    def _diverged(self, what: str) -> GrowlmError:
        return diverged(what, self.trainer.global_step, self.config.learning_rate)

    # -- ending --------------------------------------------------------------------------------------------------------

    def on_train_end(self) -> None:
        """Stop the clock, and ask the other processes what they have counted."""
        self._seconds_before, self._started_at = self.seconds, 0.0
        self._others.ask(self.trainer, self.method, self._tokens, self._rows)

    def on_fit_end(self) -> None:
        """Prove, freeze, score and commit.

        Raises:
            GrowlmError: if a frozen tensor moved or a trained one is not finite.
        """
        prepared, stack = self.prepared, self.stack
        self._merged.close()
        nn.Module.to(stack, stack.device)  # Lightning has taken the trained tensors alone to the CPU
        if self.trainer.is_global_zero:
            self.grown = freeze_and_score(prepared, self._training(), self._before, self.cache)
            if is_trial(self.trainer):
                _logger.info("fast_dev_run: training, proof and scores ran; nothing is committed to the stack's folder")
            else:
                commit(prepared, self.grown)

    def teardown(self, stage: str) -> None:
        """Unlock the stack's folder."""
        self.close()

    def close(self) -> None:
        """Leave stack and folder in order, whatever has happened."""
        self._open.close()

    def _training(self) -> Training:
        steps, validation = int(self.trainer.global_step), tuple(self.validation.losses)
        if not steps and self.method.trains:
            raise GrowlmError("the trainer ended before the first step: nothing is committed; check its limits")
        per_step = int(self.trainer.accumulate_grad_batches)
        losses = tuple((batch // per_step, loss) for batch, loss in self.losses.points)
        return Training(steps, self._tokens, self._rows, self.seconds, losses, validation, self._others.counts)

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before interruptions included."""
        return self._seconds_before + (time.monotonic() - self._started_at if self._started_at else 0.0)

    # -- resuming ------------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the method's state and what was counted; a state that is not finite is not saved."""
        check_finite(self.prepared, self.trainer.global_step)
        others = self._others.ask(self.trainer, self.method, self._tokens, self._rows)
        counts = {"tokens_seen": self._tokens, "rows_seen": self._rows, "others": others, "seconds": self.seconds}
        checkpoint["growlm"] = {"method": self.method.state_dict(), "curve": self.losses.state_dict(), **counts}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the method's state and what was counted."""
        state = checkpoint["growlm"]
        self.method.load_state_dict(state["method"])
        self._tokens, self._rows = state["tokens_seen"], state["rows_seen"]
        self._others.restore(state.get("others", {}), self.method, self._tokens, self._rows)
        self.losses.load_state_dict(state["curve"])
        self._seconds_before = state["seconds"]


class _Close(Callback):
    """Closes a phase that fails: Lightning tells callbacks of an exception, but no module."""

    def __init__(self, phase: GrowPhase) -> None:
        self._phase = phase

    def on_exception(self, *args: Any) -> None:
        self._phase.close()


def is_trial(trainer: Any) -> bool:
    """Return whether a Lightning trainer's ``fast_dev_run`` asks for a run that leaves nothing."""
    return bool(trainer.fast_dev_run)


def trainer_settings(trainer: Any) -> dict[str, Any]:
    """Return the settings of a Lightning trainer that a phase's result depends on.

    Raises:
        GrowlmError: if the trainer has no ``max_steps``, or would hold everything in another precision.
    """
    if int(trainer.max_steps) < 1:
        raise GrowlmError(f"{trainer.max_steps} steps are too few: give 1 or more (max_steps of the trainer)")
    if trainer.precision not in _PRECISIONS:
        raise GrowlmError(
            f"precision {trainer.precision!r} would change what is frozen, and modules are trained and stored in fp32: "
            f"give one of {', '.join(_PRECISIONS)}, and the base's own precision as the option dtype"
        )
    return {
        "steps": int(trainer.max_steps),
        "precision": str(trainer.precision),
        "gradient_clip_val": trainer.gradient_clip_val,
        "accumulate_grad_batches": int(trainer.accumulate_grad_batches),
        "num_processes": int(trainer.world_size),
    }
