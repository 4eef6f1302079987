"""Running a phase from beginning to end, or from where it was interrupted."""

import shutil
from inspect import signature
from typing import Any

import torch.utils.deterministic
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer

from growlm.errors import GrowlmError, one_line
from growlm.files import combined_digest, folder_lock, tensor_digests
from growlm.manifest import store
from growlm.manifest.manifest import STACK_FILE, read_manifest
from growlm.manifest.records import ModuleRecord
from growlm.registry import methods, skills
from growlm.skills.skill import Skill
from growlm.stack.stack import ModuleStack
from growlm.train.config import PhaseConfig, difference
from growlm.train.machine import fastest_precision, keep_freed_memory
from growlm.train.phase import GrowPhase, is_trial, trainer_settings
from growlm.train.progress import suppress_lightning_notices
from growlm.train.result import Grown
from growlm.train.resume import AtomicCheckpointIO, ResumeCheckpoint

_DEFAULTS = {
    "logger": False,
    "log_every_n_steps": 10,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "deterministic": True,
}
NO_LOOPS = (
    *("limit_val_batches", "limit_test_batches", "limit_predict_batches", "val_check_interval"),
    *("check_val_every_n_epoch", "num_sanity_val_steps"),
)
"""Options of Lightning's trainer for loops that a phase has none of: it validates and scores by itself."""


def new_trainer(
    *,
    max_steps: int = 600,
    precision: Any = None,
    gradient_clip_val: float | None = 1.0,
    callbacks: list[Callback] | Callback | None = None,
    **options: Any,
) -> Trainer:
    """Build a Lightning trainer with growlm's defaults: reproducible, in the fastest precision, no files of its own.

    Args:
        max_steps: steps of the phase.
        precision: Lightning's name of a precision; None: the faster of bf16-mixed and 32-true on this machine.
        gradient_clip_val: greatest norm of the gradient.
        callbacks: further callbacks.
        **options: the other options of Lightning's trainer.

    Raises:
        GrowlmError: if Lightning refuses an option, or a phase makes nothing of it.
    """
    for key in NO_LOOPS:
        if options.get(key) not in (None, 0, signature(Trainer).parameters[key].default):
            raise GrowlmError(
                f"{key} of the trainer has no effect, a phase validates by itself: --validate_every says how often, "
                "--num_scored on how many examples"
            )
    keep_freed_memory()
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing reads it
    # changed in place: only so does the command line see that the rest goes to Lightning's trainer
    for key, value in _DEFAULTS.items():
        if options.get(key) is None:
            options[key] = value
    options["plugins"] = [*(options.get("plugins") or []), AtomicCheckpointIO()]
    try:
        with suppress_lightning_notices():
            return Trainer(
                max_steps=max_steps,
                precision=precision or fastest_precision(),
                gradient_clip_val=gradient_clip_val,
                callbacks=callbacks,
                **options,
            )
    except (MisconfigurationException, ModuleNotFoundError, TypeError, ValueError) as error:
        raise GrowlmError(f"Lightning refuses an option of the trainer: {one_line(str(error))}") from error


def fit_phase(phase: GrowPhase, trainer: Trainer) -> Grown:
    """Train a phase, or continue it, or find that it has ended already.

    Args:
        phase: the phase.
        trainer: what trains it.

    Returns:
        The grown stack; with the trainer's ``fast_dev_run`` it is in memory only.

    Raises:
        GrowlmError: if the stack is in use or damaged, the name is taken by another phase, or anything in
            ``growlm.train.prepare`` and ``growlm.train.result`` is refused.
        KeyboardInterrupt: if the phase was interrupted; the same call continues it.
        SystemExit: in all processes but the first.
    """
    settings = trainer_settings(trainer)
    if phase.config.epochs is not None or not methods.get(phase.config.method).trains:
        del settings["steps"]  # what they are is known when the examples are; a method may have none
    trial = is_trial(trainer)
    ended = _ended_phase(phase.config, settings) if trainer.is_global_zero and not trial else None
    if ended is not None:
        return ended
    try:
        with suppress_lightning_notices():
            trainer.fit(phase, ckpt_path=None if trial else phase.resume_from, weights_only=True)
    except SystemExit:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt(_interruption(trainer)) from None
    if phase.grown is None:  # another process than the first: the result is not its own to report
        raise SystemExit(0)
    return phase.grown


def _ended_phase(config: PhaseConfig, trainer: dict[str, Any]) -> Grown | None:
    """Load the result of a phase that ended earlier.

    Raises:
        GrowlmError: if a phase with other settings has the name.
    """
    if not (config.stack / STACK_FILE).exists():
        return None
    with folder_lock(config.stack):
        store.recover(config.stack)
        records = {record.name: record for record in read_manifest(config.stack).modules}
        if config.module not in records:
            return None
        record = records[config.module]
        if not record.recipe:
            raise GrowlmError(
                f"{config.stack} has a module {config.module!r} already, which no phase has trained: undo it first "
                "(growlm undo), or give another --name"
            )
        compared = {key: value for key, value in record.recipe.items() if key != "steps" or "steps" in trainer}
        changed = difference(compared, {**config.recorded(), **trainer})
        if changed:
            raise GrowlmError(
                f"{config.stack} has a module {config.module!r} already, grown with other settings ({changed}): undo "
                "it first (growlm undo), or give another --name"
            )
        _check_same_data(config, record)
        shutil.rmtree(config.stack / store.WORK, ignore_errors=True)
        stack = ModuleStack.from_pretrained(config.stack, base=config.base, tokenizer=config.tokenizer)
    stack.set_path(record.path)
    frozen = stack.frozen_tensors()
    digest = combined_digest(tensor_digests(frozen))
    return Grown(stack, record, len(frozen), digest, stack.method_tensors(config.module), already_there=True)


def _check_same_data(config: PhaseConfig, record: ModuleRecord) -> None:
    """Refuse other data under the same file name.

    Raises:
        GrowlmError: if the skill's training examples are not those of the record.
    """
    skill: Skill = skills.build(config.skill, config.skill_options)
    if record.skill.get("train_digest", found := skill.digest("train")) != found:
        raise GrowlmError(
            f"{config.stack} has a module {config.module!r} already, grown on other training data: undo it first "
            "(growlm undo), or give another --name"
        )


def _interruption(trainer: Trainer) -> str:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it in a connector
    saved = next(callback.saved_step for callback in callbacks if isinstance(callback, ResumeCheckpoint))
    where = f"interrupted at step {trainer.global_step} of {trainer.max_steps}"
    if saved is None or is_trial(trainer):
        return f"{where}; nothing was saved yet, the same command begins again"
    return f"{where}; the same command resumes at step {saved}"
