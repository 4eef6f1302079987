"""What a pretraining recipe says; plain values, so that the command line reads it without torch."""

from dataclasses import dataclass, field
from typing import Literal

from growlm.pretrain.source import TextSource


@dataclass(frozen=True)
class PretrainData:
    """What a base learns from.

    Args:
        sources: the texts of the mixture.
        validation: a text file that is never trained on; bits per byte are measured on it.
        tokenizer: a base or folder whose tokenizer is used; learned from the sources if left out.
        row_length: tokens per row; documents are packed into rows and cannot see each other.
        rows_per_step: rows per optimizer step.
    """

    sources: list[TextSource] = field(default_factory=list[TextSource])
    validation: str | None = None
    tokenizer: str | None = None
    row_length: int = 512
    rows_per_step: int = 16


@dataclass(frozen=True)
class PretrainRun:
    """How a base learns.

    Args:
        steps: optimizer steps.
        muon_lr: peak learning rate of the inner matrices (Muon); null: AdamW takes them as well, at its own rate.
        adamw_lr: peak learning rate of embeddings and norms (AdamW).
        weight_decay: decoupled weight decay of the inner matrices.
        schedule: shape of the learning rate over the steps.
        warmup_steps: steps of linear warm-up.
        decay_share: share of the steps over which ``wsd`` decays to zero.
        clip: largest norm of the gradient.
        dropout: dropout of the attention weights.
        rows_per_pass: rows of a forward and backward pass, whose gradients are added up to those of the step; null: all
            rows of the step. Fewer need less memory, and on a CPU they are faster.
        precision: ``bf16`` trains fp32 weights under bf16 autocast, ``fp32`` does without; null: bf16 where the
            hardware multiplies it.
        compile: compile the model with ``torch.compile``.
        threads: CPU threads; results repeat bit for bit only at the same number.
        watch_every: steps between two measurements and samples, 0 for none before the end.
        watch_stories: how many validation documents are measured while training.
        final_stories: how many validation documents are measured at the end; null: all.
        save_seconds: seconds between two saved states.
        accelerator: Lightning's accelerator.
        devices: number of devices.
    """

    steps: int = 1_000
    muon_lr: float | None = 0.02
    adamw_lr: float = 0.004
    weight_decay: float = 0.1
    schedule: Literal["constant", "cosine", "wsd"] = "wsd"
    warmup_steps: int = 50
    decay_share: float = 0.5
    clip: float = 1.0
    dropout: float = 0.0
    rows_per_pass: int | None = None
    precision: Literal["bf16", "fp32"] | None = None
    compile: bool = False
    threads: int | None = None
    watch_every: int = 100
    watch_stories: int = 120
    final_stories: int | None = None
    save_seconds: float = 60.0
    accelerator: str = "auto"
    devices: int = 1
