"""Pretraining a base: one Lightning phase from recipe to folder."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from growlm.base.attention import MATMUL
from growlm.base.embedding_rows import final_states_moment, separate_rows
from growlm.base.expand import expand_base
from growlm.base.load import load_base, load_tokenizer
from growlm.base.presets import build_base
from growlm.base.tokenizer import PAD, special_id, train_tokenizer
from growlm.errors import GrowlmError
from growlm.files import check_name, combined_digest, folder_lock, require_disk_space, tensor_digests
from growlm.metrics.bits_per_byte import bits_per_byte
from growlm.pretrain.config import PretrainData, PretrainRun
from growlm.pretrain.loss import chunked_cross_entropy
from growlm.pretrain.optimizers import muon_and_adamw, set_learning_rate
from growlm.pretrain.pack import PackedBatch, PackedRows
from growlm.pretrain.record import BaseRecord, SeparatedRows, ancestors, round_weights, write_base
from growlm.pretrain.source import TextSource
from growlm.pretrain.text import encode_source
from growlm.pretrain.validation import Watch
from growlm.train.machine import (
    keep_compiled_code,
    keep_freed_memory,
    machine_kind,
    multiplies_bf16,
    require_compiler,
    set_threads,
    versions,
)
from growlm.train.progress import PhaseProgress, suppress_lightning_notices
from growlm.train.resume import RESUME_FILE, AtomicCheckpointIO, ResumeCheckpoint, StepLoader, StepSeed, resume_path
from growlm.train.schedule import schedule_factor

_MOMENT_ROWS = 64  # on which the final hidden states are measured


class PretrainPhase(LightningModule):
    """Next-token training on packed rows.

    Args:
        model: the untrained base.
        rows: what it is trained on.
        run: how.
    """

    def __init__(self, model: LlamaForCausalLM, rows: PackedRows, run: PretrainRun) -> None:
        super().__init__()
        self.model = model
        self.rows = rows
        self.run = run
        self.automatic_optimization = False  # several backward passes a step
        decoder: Any = model.get_decoder()
        if run.compile:
            for layer in decoder.layers:  # one compilation serves them all
                layer.compile(dynamic=False)

    def train_dataloader(self) -> StepLoader[PackedBatch]:
        """Build the loader; with several processes each takes its own rows of every step."""
        return StepLoader(self._share, self.run.steps)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build Muon and AdamW."""
        run = self.run
        dtype = torch.bfloat16 if run.precision == "bf16" else torch.float32
        return muon_and_adamw(self.model, run.muon_lr, run.adamw_lr, run.weight_decay, dtype)

    def on_train_batch_start(self, batch: PackedBatch, batch_idx: int) -> None:
        """Set the learning rate of the step."""
        run = self.run
        factor = schedule_factor(run.schedule, self.global_step, run.steps, run.warmup_steps, run.decay_share)
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        set_learning_rate(optimizer, factor)

    def training_step(self, batch: PackedBatch, batch_idx: int) -> Tensor:
        """Take an optimizer step and return the mean loss of its tokens in nats."""
        optimizer: Any = self.optimizers()
        num_tokens = batch.num_tokens
        total = torch.zeros((), device=self.device)
        for part in batch.split(self.run.rows_per_pass or len(batch.labels)):
            loss = self.loss(part) * (part.num_tokens / num_tokens)
            self.manual_backward(loss)
            total += loss.detach()
        self.clip_gradients(optimizer, gradient_clip_val=self.run.clip, gradient_clip_algorithm="norm")
        optimizer.step()
        optimizer.zero_grad()
        return total

    def loss(self, batch: PackedBatch) -> Tensor:
        """Compute the mean loss of a batch's tokens in nats."""
        # the look-up stays outside of what is compiled: inductor adds up its gradient in no fixed order
        look_up: Any = self.model.get_input_embeddings()
        decoder: Any = self.model.get_decoder()
        inputs = look_up(batch.input_ids)
        output = decoder(inputs_embeds=inputs, position_ids=batch.position_ids, use_cache=False)
        embedding: Any = self.model.get_output_embeddings()
        return chunked_cross_entropy(output.last_hidden_state, embedding.weight, batch.labels)

    def _share(self, step: int) -> PackedBatch:
        batch = self.rows.batch(step)
        mine = slice(self.global_rank, None, self.trainer.world_size)
        return PackedBatch(batch.input_ids[mine], batch.labels[mine], batch.position_ids[mine])


def pretrain_base(
    name: str,
    size: str,
    data: PretrainData,
    run: PretrainRun,
    seed: int,
    out: Path,
    work: Path,
    overwrite: bool = False,
    expand: str | None = None,
) -> Path:
    """Train a base and write its folder; a killed run is resumed.

    Args:
        name: name of the base.
        size: what ``growlm.base.presets.shape_of`` reads.
        data: what it learns from.
        run: how it learns.
        seed: seed of initialisation, order and dropout.
        out: folder in which the base's folder is made.
        work: folder for the state of unfinished runs.
        overwrite: replace a base of that name.
        expand: a smaller base to begin with, which is expanded to the size; None: begin at random.

    Returns:
        The base's folder.

    Raises:
        GrowlmError: if something in the recipe, the data or the folders does not fit.
        KeyboardInterrupt: if the run was interrupted.
    """
    folder = out / check_name(name, "base")
    if folder.exists() and not overwrite:
        raise GrowlmError(f"{folder} exists: choose another --name or --out, or give --overwrite to replace it")
    if not data.sources:
        raise GrowlmError("a base needs text: give data.sources in the recipe")
    run = _with_precision(run)
    if run.compile:
        require_compiler()
        keep_compiled_code()
    set_threads(run.threads)
    keep_freed_memory()
    state = work / f"pretrain-{name}"
    # with several devices Lightning runs this command once for each: the first one locks and writes
    first = os.environ.get("LOCAL_RANK", "0") == "0"
    with folder_lock(state) if first else nullcontext(), suppress_lightning_notices():
        model, start = _start(size, seed, run.dropout, expand)
        if run.accelerator == "cpu" or (run.accelerator == "auto" and not torch.accelerator.is_available()):
            model.set_attn_implementation(MATMUL)
        require_disk_space(state, 20 * model.num_parameters())
        tokenizer = _tokenizer(data)
        phase = PretrainPhase(model, _rows(data, tokenizer, seed), run)
        record = _fit(phase, name, size, data, seed, start, tokenizer, state)
        model.set_attn_implementation("sdpa")
        if first:
            with torch.compiler.set_stance("force_eager"):  # other shapes than those of the steps
                write_base(folder, model, tokenizer, replace(record, separated=_separate(phase, record, tokenizer)))
            (state / RESUME_FILE).unlink(missing_ok=True)
    return folder


def _with_precision(run: PretrainRun) -> PretrainRun:
    """Choose the precision that the processor multiplies natively where the recipe names none."""
    if run.precision is not None:
        return run
    on_gpu = run.accelerator != "cpu" and torch.cuda.is_available()
    return replace(run, precision="bf16" if multiplies_bf16(on_gpu) else "fp32")


@dataclass(frozen=True)
class _Start:
    """What a run begins with: a smaller base, its digest and what it had begun with itself; or nothing."""

    base: str | None = None
    digest: str = ""
    ancestors: tuple[dict[str, Any], ...] = ()


def _start(size: str, seed: int, dropout: float, expand: str | None) -> tuple[LlamaForCausalLM, _Start]:
    if expand is None:
        return build_base(size, seed, dropout), _Start()
    smaller = load_base(expand)
    digest = combined_digest(tensor_digests(dict(smaller.named_parameters())))
    return expand_base(smaller, size, seed, dropout), _Start(expand, digest, tuple(ancestors(expand)))


def _fit(
    phase: PretrainPhase,
    name: str,
    size: str,
    data: PretrainData,
    seed: int,
    start: "_Start",
    tokenizer: PreTrainedTokenizerBase,
    state: Path,
) -> BaseRecord:
    run = phase.run
    stories = _validation(data.validation)
    begun_with = versions()  # the code may have changed on disk when the run ends
    progress = PhaseProgress(f"pretrain {name}")
    watch = Watch(phase.model, tokenizer, stories[: run.watch_stories], run.watch_every)
    settings = {**_settings(size, data, run, seed, phase.rows, tokenizer), "expanded": start.digest}
    trainer = Trainer(
        max_steps=run.steps,
        max_epochs=1,
        accelerator=run.accelerator,
        devices=run.devices,
        precision="bf16-mixed" if run.precision == "bf16" else "32-true",
        callbacks=[StepSeed(seed), progress, watch, ResumeCheckpoint(state, settings, 0, run.save_seconds)],
        plugins=[AtomicCheckpointIO()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=state,
    )
    try:
        trainer.fit(phase, ckpt_path=resume_path(state), weights_only=True)
    except SystemExit:  # what Lightning makes of Ctrl-C
        step = trainer.global_step
        raise KeyboardInterrupt(f"interrupted at step {step} of {run.steps}; the same command continues it") from None
    return BaseRecord(
        name=name,
        size=size,
        seed=seed,
        expanded=start.base,
        ancestors=start.ancestors,
        data=data,
        run=run,
        digests=[text.digest for text in phase.rows.texts],
        source_tokens=[len(text.tokens) for text in phase.rows.texts],
        source_bytes=[text.num_bytes for text in phase.rows.texts],
        curve=watch.curve,
        samples=watch.samples,
        tokens=watch.tokens,
        seconds=watch.seconds,
        stories=stories,
        machine=machine_kind(),
        versions=begun_with,
    )


def _tokenizer(data: PretrainData) -> PreTrainedTokenizerBase:
    if data.tokenizer is not None:
        return load_tokenizer(data.tokenizer)
    return train_tokenizer(text for source in data.sources for text in source.documents())


def _rows(data: PretrainData, tokenizer: PreTrainedTokenizerBase, seed: int) -> PackedRows:
    texts = [encode_source(source, tokenizer) for source in data.sources]
    repeats = [source.repeat for source in data.sources]
    return PackedRows(texts, repeats, data.row_length, data.rows_per_step, special_id(PAD), seed)


def _separate(phase: PretrainPhase, record: BaseRecord, tokenizer: PreTrainedTokenizerBase) -> SeparatedRows:
    """Move the rows of the embedding that have a twin apart, and measure what it costs."""
    stories = record.stories[: phase.run.watch_stories]

    def measured() -> float | None:
        round_weights(phase.model)
        return bits_per_byte(phase.model, tokenizer, stories) if stories else None

    before = measured()
    num_rows = separate_rows(phase.model, final_states_moment(phase.model, _first_rows(phase.rows)), record.seed)
    return SeparatedRows(num_rows, len(stories), before, measured())


def _first_rows(rows: PackedRows) -> Iterator[dict[str, Tensor]]:
    for step in range(-(-_MOMENT_ROWS // rows.rows_per_step)):
        batch = rows.batch(step)
        yield {"input_ids": batch.input_ids, "position_ids": batch.position_ids}


def _validation(path: str | None) -> list[str]:
    return [] if path is None else list(TextSource(path=path).documents())


def _settings(
    size: str,
    data: PretrainData,
    run: PretrainRun,
    seed: int,
    rows: PackedRows,
    tokenizer: PreTrainedTokenizerBase,
) -> dict[str, str | int | float | bool | None]:
    """List what the result depends on."""
    ignored = {"save_seconds", "accelerator", "final_stories"}
    backend: Any = tokenizer.backend_tokenizer
    return {
        "size": size,
        "seed": seed,
        **{key: value for key, value in asdict(run).items() if key not in ignored},
        "row_length": data.row_length,
        "rows_per_step": data.rows_per_step,
        "sources": _digest([text.digest for text in rows.texts], [source.repeat for source in data.sources]),
        "tokenizer": _digest([backend.to_str()]),
    }


def _digest(*parts: Sequence[Any]) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
