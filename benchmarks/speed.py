"""Training speed of a growlm phase beside PEFT's LoRA, in real tokens per second: ``python benchmarks/speed.py``.

Arms: ``peft``, LoRA of rank 32 on all linears under Hugging Face's Trainer in bf16; ``unpacked``, growlm's default
module with one example a row; ``growlm``, the default. All train on the same skill with the same base and examples per
step, each run in a fresh process, arms in turn, so that whatever else the machine does falls on all of them alike. The
first steps are not timed. Tokens are those of the examples; padding does not count. ``--clock process`` counts the
processor's time in place of the clock's, for a machine that does other work; give it one thread.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

from jsonargparse import auto_cli
from rich.console import Console
from rich.table import Table

from growlm.files import write_json

_UNTIMED = 2


@dataclass(frozen=True)
class Setup:
    """What all arms have in common."""

    base: str
    skill: str
    batch_size: int
    steps: int
    threads: int
    num_train: int
    clock: str


@dataclass
class Clock:
    """Counts tokens and seconds of the steps after the first ones."""

    now: Callable[[], float]
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    started_at: float = 0.0

    def start(self) -> None:
        """Start a step."""
        self.started_at = self.now()

    def stop(self, tokens: int) -> None:
        """End a step of a number of tokens."""
        self.steps += 1
        if self.steps > _UNTIMED:
            self.seconds += self.now() - self.started_at
            self.tokens += tokens


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "process": time.process_time}


def grow_arm(setup: Setup, packing: bool) -> Clock:
    """Train growlm's default module."""
    from lightning.pytorch import Callback

    from growlm.train.fit import fit_phase, new_trainer
    from growlm.train.phase import GrowPhase

    clock = Clock(CLOCKS[setup.clock])

    class Timer(Callback):
        def on_train_batch_start(self, *args: Any) -> None:
            clock.start()

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, *args: Any) -> None:
            clock.stop(batch.num_tokens)

    with tempfile.TemporaryDirectory() as folder:
        phase = GrowPhase(
            setup.skill, stack=Path(folder, "stack"), base=setup.base, batch_size=setup.batch_size, packing=packing,
            skill_options={"num_train": setup.num_train}, num_scored=1, router="none", checkpoint_every=0,
        )  # fmt: skip
        fit_phase(phase, new_trainer(max_steps=setup.steps, accelerator="cpu", callbacks=[Timer()]))
    return clock


def peft_arm(setup: Setup) -> Clock:
    """Train PEFT's LoRA under Hugging Face's Trainer."""
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from growlm.base.load import load_base, load_tokenizer
    from growlm.data.batches import collate
    from growlm.data.encode import Encoded, encode
    from growlm.registry import skills

    clock, tokens = Clock(CLOCKS[setup.clock]), [0]
    tokenizer = load_tokenizer(setup.base)
    skill = skills.build(setup.skill, {"num_train": setup.num_train})
    examples = [encode(example, tokenizer, 512) for example in skill.examples("train")]

    def padded(batch: list[Encoded]) -> dict[str, Any]:
        rows = collate(batch, tokenizer.pad_token_id)
        tokens[0] = rows.num_tokens
        return {
            "input_ids": rows.input_ids,
            "labels": rows.labels,
            "attention_mask": rows.input_ids != tokenizer.pad_token_id,
        }

    class Timer(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            clock.start()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            clock.stop(tokens[0])

    model = get_peft_model(load_base(setup.base), LoraConfig(r=32, lora_alpha=64, target_modules="all-linear"))
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, max_steps=setup.steps, per_device_train_batch_size=setup.batch_size, learning_rate=2e-3, bf16=True,
            use_cpu=True, report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True,
            remove_unused_columns=False, dataloader_num_workers=0,
        )  # fmt: skip
        Trainer(model, arguments, data_collator=padded, train_dataset=examples, callbacks=[Timer()]).train()
    return clock


ARMS: dict[str, Callable[[Setup], Clock]] = {
    "peft": peft_arm,
    "unpacked": lambda setup: grow_arm(setup, packing=False),
    "growlm": lambda setup: grow_arm(setup, packing=True),
}


def run(arm: str, setup: Setup) -> dict[str, float]:
    """Run one arm in this process; return its tokens per second and peak bytes."""
    import torch

    from growlm.bench.run.cost import peak_memory

    torch.set_num_threads(setup.threads)
    clock = ARMS[arm](setup)
    return {"tokens_per_second": clock.tokens / clock.seconds, "peak_bytes": float(peak_memory() or 0)}


def main(
    base: str = "tinystories-50m",
    skill: str = "chat",
    batch_size: int = 8,
    steps: int = 20,
    rounds: int = 3,
    threads: int = 2,
    clock: Literal["wall", "process"] = "wall",
    out: Path = Path("results/speed.json"),
) -> None:
    """Run all arms in turn, and write and print medians and ratios.

    Args:
        base: name of a shipped base, or a folder.
        skill: the skill.
        batch_size: examples per step.
        steps: steps of a run.
        rounds: runs of each arm.
        threads: CPU threads.
        clock: what seconds are.
        out: file of the result.
    """
    setup = Setup(base, skill, batch_size, steps, threads, batch_size * (steps + 1), clock)
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as fresh:
        for _ in range(rounds):
            for arm in ARMS:
                found[arm].append(fresh.submit(run, arm, setup).result())
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, {"settings": vars(setup), "runs": found})
    table = Table("arm", "real tokens/s", "spread", "times peft", "peak GiB")
    reference = statistics.median(run["tokens_per_second"] for run in found["peft"])
    for arm, runs in found.items():
        rates = [run["tokens_per_second"] for run in runs]
        peak = statistics.median(run["peak_bytes"] for run in runs) / 2**30
        median = statistics.median(rates)
        spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
        table.add_row(arm, f"{median:,.0f}", spread, f"{median / reference:.2f}", f"{peak:.2f}")
    Console().print(table)


if __name__ == "__main__":
    auto_cli(main)
