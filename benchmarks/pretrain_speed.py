"""Pretraining steps of the 50M shape: tokens per second beside how they were computed before.

``python benchmarks/pretrain_speed.py --rounds 3 --steps 3 [--out results/pretrain-speed.json]``

- ``passes``: ``growlm pretrain`` on a CPU: attention as matrix products, each layer compiled, a few rows at a time.
- ``whole``: SDPA's CPU kernel, the decoder compiled as a whole, all rows of the step in one pass.

Both take the same optimizer steps on the same rows of random tokens, whose documents are as long as those of
TinyStories. Every measurement is a process of its own, the two in turn; the steps that compile are not timed. Seconds
are those of the wall, so let nothing else run; ``--clock process`` takes processor time instead, where that cannot be.
"""

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch
from jsonargparse import auto_cli

from growlm.base.attention import MATMUL
from growlm.base.presets import build_base
from growlm.files import write_json
from growlm.pretrain.config import PretrainRun
from growlm.pretrain.loss import chunked_cross_entropy
from growlm.pretrain.optimizers import muon_and_adamw
from growlm.pretrain.pack import PackedBatch
from growlm.pretrain.run import PretrainPhase
from growlm.train.machine import keep_freed_memory, machine_kind

_DOCUMENT = (60, 370)  # shortest and longest, in tokens
_ROWS_PER_PASS = 4


@dataclass(frozen=True)
class Arm:
    """What one process measures.

    Args:
        way: ``"passes"`` or ``"whole"``.
        size: size of the base.
        rows: rows of a step.
        row_length: tokens of a row.
        steps: timed steps.
        threads: CPU threads.
        clock: seconds of the wall or of the processor.
    """

    way: Literal["passes", "whole"]
    size: str = "50m"
    rows: int = 12
    row_length: int = 512
    steps: int = 3
    threads: int = 2
    clock: Literal["wall", "process"] = "wall"


def main(
    rounds: int = 3,
    size: str = "50m",
    rows: int = 12,
    row_length: int = 512,
    steps: int = 3,
    threads: int = 2,
    clock: Literal["wall", "process"] = "wall",
    out: str | None = None,
) -> None:
    """Measure both ways in turn and print the medians.

    Args:
        rounds: measurements of each way.
        size: size of the base.
        rows: rows of a step.
        row_length: tokens of a row.
        steps: timed steps of a measurement.
        threads: CPU threads.
        clock: seconds of the wall or of the processor.
        out: a JSON file for all that was measured.
    """
    results: dict[str, list[dict[str, Any]]] = {"passes": [], "whole": []}
    for _ in range(rounds):
        for way, measured in results.items():
            arm = json.dumps([way, size, rows, row_length, steps, threads, clock])
            child = subprocess.run([sys.executable, __file__, "--arm", arm], capture_output=True, text=True, check=True)
            measured.append(json.loads(child.stdout.splitlines()[-1]))
            sys.stdout.write("{}: {tokens_per_second:.0f} tokens/s, {peak_gib:.1f} GiB\n".format(way, **measured[-1]))
    ratios = [
        new["tokens_per_second"] / old["tokens_per_second"]
        for new, old in zip(results["passes"], results["whole"], strict=True)
    ]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    sys.stdout.write(f"ratio {median(ratios):.2f} ({spread}), {clock} clock, {machine_kind()}\n")
    if out is not None:
        write_json(Path(out), {"machine": machine_kind(), "clock": clock, "ratios": ratios, **results})


def measure(arm: Arm) -> dict[str, Any]:
    """Take the steps of one way.

    Returns:
        ``tokens_per_second``, the median step's; ``peak_gib`` of memory; ``losses`` of all steps.
    """
    torch.set_num_threads(arm.threads)
    keep_freed_memory()
    torch.manual_seed(0)
    model = build_base(arm.size, seed=0)
    batch = _random_batch(arm.rows, arm.row_length)
    passes = arm.way == "passes"
    if passes:
        model.set_attn_implementation(MATMUL)
        phase = PretrainPhase(model, None, PretrainRun(compile=True))  # type: ignore[arg-type]  # takes no row itself
        loss_of: Any = phase.loss
    else:
        loss_of = _loss_as_before(model)
    parts = batch.split(_ROWS_PER_PASS) if passes else [batch]
    optimizer = muon_and_adamw(model, 0.01, 0.002, 0.1, torch.bfloat16)
    clock = time.perf_counter if arm.clock == "wall" else time.process_time
    losses: list[float] = []
    seconds: list[float] = []
    for _ in range(arm.steps + 2):
        begin = clock()
        losses.append(0.0)
        for part in parts:
            with torch.autocast("cpu", torch.bfloat16):
                loss = loss_of(part) * (part.num_tokens / batch.num_tokens)
            loss.backward()
            losses[-1] += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(clock() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"tokens_per_second": batch.num_tokens / median(seconds[2:]), "peak_gib": peak, "losses": losses}


def _loss_as_before(model: Any) -> Any:
    decoder = torch.compile(model.get_decoder(), dynamic=False)

    def loss_of(batch: PackedBatch) -> torch.Tensor:
        embedding = model.get_input_embeddings()
        output = decoder(inputs_embeds=embedding(batch.input_ids), position_ids=batch.position_ids, use_cache=False)
        return chunked_cross_entropy(output.last_hidden_state, embedding.weight, batch.labels)

    return loss_of


def _random_batch(rows: int, row_length: int) -> PackedBatch:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(40, 8_192, (rows, row_length), generator=generator)
    positions = torch.arange(row_length).repeat(rows, 1)
    for row in positions:
        begin = 0
        while (length := int(torch.randint(*_DOCUMENT, (1,), generator=generator))) < row_length - begin:
            begin += length
            row[begin:] = torch.arange(row_length - begin)
    return PackedBatch(ids, ids.roll(-1, 1), positions)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--arm"]:
        sys.stdout.write(json.dumps(measure(Arm(*json.loads(sys.argv[2])))) + "\n")
    else:
        auto_cli(main)
