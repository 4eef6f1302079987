"""Writing a trained base: weights in bf16, tokenizer, generation defaults, measurements and card."""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from growlm.base.load import find_base, no_progress_bar
from growlm.base.tokenizer import END, END_OF_TEXT, PAD, special_id, wrap_tokenizer
from growlm.errors import GrowlmError
from growlm.files import file_digest, read_json, write_json, write_text
from growlm.metrics.bits_per_byte import bits_per_byte
from growlm.metrics.samples import sample_stories
from growlm.pretrain.card import card_text, plot_curve
from growlm.pretrain.config import PretrainData, PretrainRun

_NUM_SAMPLES = 6
_SHARD_SIZE = "45MB"
_RECORD = "training.json"
_KEPT = ("name", "size", "parameters", "tokens_seen", "sources", "run")


@dataclass(frozen=True)
class SeparatedRows:
    """Rows of the embedding that were moved apart after training, see ``growlm.base.embedding_rows``.

    Args:
        rows: how many.
        documents: on how many validation documents the cost is measured.
        bits_per_byte_before: bits per byte on them before the rows were moved; None without documents.
        bits_per_byte_after: the same afterwards.
    """

    rows: int
    documents: int
    bits_per_byte_before: float | None
    bits_per_byte_after: float | None


@dataclass(frozen=True)
class BaseRecord:
    """What is known about a finished run.

    Args:
        name: name of the base.
        size: its size, a preset's name or numbers.
        seed: seed of the run.
        expanded: the smaller base that it began with, if any.
        ancestors: what is known of that base and of those before it, see ``ancestors``.
        data: what it learned from.
        run: how it learned.
        digests: SHA-256 of each source.
        source_tokens: tokens of each source.
        source_bytes: UTF-8 bytes of each source.
        curve: measurements while training.
        samples: samples while training.
        tokens: tokens trained on, padding left out.
        seconds: time spent in training steps.
        stories: the validation documents, all of them.
        machine: what it was trained on.
        versions: the versions it was trained with.
        separated: what was done to the embedding after training.
    """

    name: str
    size: str
    seed: int
    expanded: str | None
    ancestors: tuple[dict[str, Any], ...]
    data: PretrainData
    run: PretrainRun
    digests: list[str]
    source_tokens: list[int]
    source_bytes: list[int]
    curve: list[dict[str, float]]
    samples: list[dict[str, Any]]
    tokens: int
    seconds: float
    stories: list[str]
    machine: str
    versions: dict[str, str]
    separated: SeparatedRows | None = None


def round_weights(model: LlamaForCausalLM) -> None:
    """Round a model's weights, in fp32, to those that bf16 holds."""
    for parameter in model.parameters():  # not the buffers: rotary frequencies are not saved, and stay exact
        parameter.data = parameter.data.bfloat16().float()


def write_base(folder: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, record: BaseRecord) -> None:
    """Measure a base as it is going to be shipped and write its folder in one step.

    Args:
        folder: the base's folder; what is there is replaced.
        model: the trained model; its weights are rounded to bf16.
        tokenizer: its tokenizer.
        record: what is known about the run.
    """
    model.eval()
    round_weights(model)
    results = _measure(model, tokenizer, record)
    temporary = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    model.generation_config = GenerationConfig(
        bos_token_id=special_id(END_OF_TEXT),
        eos_token_id=[special_id(END_OF_TEXT), special_id(END)],
        pad_token_id=special_id(PAD),
    )
    with no_progress_bar():
        model.bfloat16().save_pretrained(temporary, max_shard_size=_SHARD_SIZE)
    # anew from its parts: one that was loaded would also save how it was loaded
    backend: Any = tokenizer.backend_tokenizer
    wrap_tokenizer(backend.to_str()).save_pretrained(temporary)
    has_plot = plot_curve(temporary / "curve.png", record.name, record.curve)
    write_json(temporary / _RECORD, results)
    write_text(temporary / "README.md", card_text(results, has_plot))
    for path in temporary.iterdir():  # safetensors writes for its owner alone
        path.chmod(0o644)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def _measure(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, record: BaseRecord) -> dict[str, Any]:
    measured = record.stories[: record.run.final_stories]
    first = measured[: record.run.watch_stories]
    validation = record.data.validation
    return {
        "name": record.name,
        "size": record.size,
        "parameters": model.num_parameters(),
        "seed": record.seed,
        "expanded": record.expanded,
        "ancestors": list(record.ancestors),
        "sources": [
            {**asdict(source), "sha256": digest, "tokens": tokens, "bytes": num_bytes}
            for source, digest, tokens, num_bytes in zip(
                record.data.sources, record.digests, record.source_tokens, record.source_bytes, strict=True
            )
        ],
        "tokenizer": record.data.tokenizer,
        "row_length": record.data.row_length,
        "rows_per_step": record.data.rows_per_step,
        "run": asdict(record.run),
        "tokens_seen": record.tokens,
        "training_seconds": round(record.seconds),
        "machine": record.machine,
        "versions": record.versions,
        "separated": record.separated and asdict(record.separated),
        "validation": None
        if validation is None
        else {
            "file": validation,
            "sha256": file_digest(Path(validation)),
            "documents": len(measured),
            "documents_there": len(record.stories),
            "bits_per_byte": bits_per_byte(model, tokenizer, measured),
            "first_documents": len(first),
            "bits_per_byte_first": bits_per_byte(model, tokenizer, first),
        },
        "curve": record.curve,
        "samples_while_training": record.samples,
        "samples": sample_stories(model, tokenizer, _NUM_SAMPLES, seed=0),
    }


def ancestors(base: str | None) -> list[dict[str, Any]]:
    """Follow the smaller bases that a base began as, by the records that their trainings left.

    Args:
        base: the smaller base, by name or folder; None: there is none.

    Returns:
        What is known of each, the nearest first: ``name``, ``size``, ``parameters``, ``tokens_seen``, ``sources`` and
        ``run``; the name alone of one that has no record.

    Raises:
        GrowlmError: if one of them is not there or its record is damaged.
    """
    found: list[dict[str, Any]] = []
    followed: set[str] = set()
    while base is not None and base not in followed:
        followed.add(base)
        file = Path(find_base(base)) / _RECORD
        record = read_json(file) if file.is_file() else {"name": base}
        if not isinstance(record, dict):
            raise GrowlmError(f"{file} is not a record of a training, but {record!r:.60}: restore it from a copy")
        found.append({key: record[key] for key in _KEPT if key in record})
        base = record.get("expanded")
    return found
