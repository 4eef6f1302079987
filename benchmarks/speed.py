"""Training speed of a growlm phase beside PEFT's LoRA, in real tokens per second: ``python benchmarks/speed.py``.

Arms: ``peft``, LoRA of rank 32 on all linears under Hugging Face's Trainer in bf16; ``padded``, growlm's default module
with one example a row; ``packed``, with examples that share rows; ``growlm``, the default, whose decoder layers are
compiled besides; ``deep``, LoRA in the upper quarter of the layers with ``cache_hidden_states``, whose lower layers run
once for every example, and ``deep-again``, its second epoch. All train on the same skill with the same base and
examples per step. Each run is a fresh process; arms take turns, so that whatever else the machine does falls on all of
them alike. Tokens are those of the examples; padding does not count. The first steps are not timed: what they take
beyond the others is reported as ``start``, which is where compiling is. ``--clock process`` counts the processor's time
in place of the clock's, for a machine that does other work; give it one thread.

Every run is written to the file of results when it ends. The same command again adds the runs that are missing.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jsonargparse import auto_cli
from rich.console import Console
from rich.table import Table

from growlm.files import read_json, write_json

if TYPE_CHECKING:
    from lightning.pytorch import Callback


@dataclass(frozen=True)
class Setup:
    """What all arms have in common."""

    base: str
    skill: str
    batch_size: int
    steps: int
    threads: int
    clock: str

    @property
    def skill_options(self) -> dict[str, int]:
        """Option of the skill: as many examples as the steps take."""
        return {"num_train": self.batch_size * self.steps}


@dataclass
class Clock:
    """Seconds and tokens of every step."""

    now: Callable[[], float]
    untimed: int = 3
    seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    started_at: float = 0.0

    def start(self) -> None:
        """Start a step."""
        self.started_at = self.now()

    def stop(self, tokens: int) -> None:
        """End a step of a number of tokens."""
        self.seconds.append(self.now() - self.started_at)
        self.tokens.append(tokens)

    def summary(self) -> dict[str, float]:
        """Return real tokens per second of the timed steps, and the seconds that the first ones took besides."""
        rate = sum(self.tokens[self.untimed :]) / sum(self.seconds[self.untimed :])
        start = sum(self.seconds[: self.untimed]) - sum(self.tokens[: self.untimed]) / rate
        return {"tokens_per_second": rate, "start_seconds": start}


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "process": time.process_time}


def step_timer(clock: Clock) -> "Callback":
    """Return a callback that measures every step of a phase."""
    from lightning.pytorch import Callback

    class Timer(Callback):
        def on_train_batch_start(self, *args: Any) -> None:
            clock.start()

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, *args: Any) -> None:
            clock.stop(batch.num_tokens)

    return Timer()


def grow_arm(setup: Setup, **options: Any) -> Clock:
    """Train a module of growlm's, the default one if no other is given."""
    from growlm.train.fit import fit_phase, new_trainer
    from growlm.train.phase import GrowPhase

    clock = Clock(CLOCKS[setup.clock])
    with tempfile.TemporaryDirectory() as folder:
        phase = GrowPhase(
            setup.skill, stack=Path(folder, "stack"), base=setup.base, batch_size=setup.batch_size, metric="loss",
            num_scored=1, router="none", checkpoint_every=0, **{"skill_options": setup.skill_options, **options},
        )  # fmt: skip
        fit_phase(phase, new_trainer(max_steps=setup.steps, accelerator="cpu", callbacks=[step_timer(clock)]))
    return clock


def deep_arm(setup: Setup, again: bool) -> Clock:
    """Train LoRA in the upper quarter of the layers on cached hidden states: its first epoch, or its second."""
    layers = upper_layers(setup.base, 0.25)
    module = {"lora": {"rank": 32, "layers": layers}}
    num_train = setup.skill_options["num_train"] // (2 if again else 1)
    clock = grow_arm(
        setup, method_options={"module": module}, cache_hidden_states=True, compile=True,
        skill_options={"num_train": num_train},
    )  # fmt: skip
    if again:
        clock.untimed = setup.steps // 2
    return clock


def upper_layers(base: str, share: float) -> list[int]:
    """List the decoder layers of the upper share of a base."""
    from growlm.base.load import load_base

    num_layers = int(load_base(base).config.num_hidden_layers)
    return list(range(round((1 - share) * num_layers), num_layers))


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
    skill = skills.build(setup.skill, setup.skill_options)
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
    "padded": lambda setup: grow_arm(setup, packing=False, compile=False),
    "packed": lambda setup: grow_arm(setup, compile=False),
    "growlm": lambda setup: grow_arm(setup, compile=True),
    "deep": lambda setup: deep_arm(setup, again=False),
    "deep-again": lambda setup: deep_arm(setup, again=True),
}


def run(arm: str, setup: Setup) -> dict[str, float]:
    """Run one arm in this process, and return its speed and its peak memory in bytes."""
    import torch

    from growlm.bench.run.cost import peak_memory

    torch.set_num_threads(setup.threads)
    clock = ARMS[arm](setup)
    return {**clock.summary(), "peak_bytes": float(peak_memory() or 0)}


def main(
    base: str = "tinystories-50m",
    skill: str = "chat",
    batch_size: int = 8,
    steps: int = 12,
    rounds: int = 3,
    threads: int = 2,
    clock: Literal["wall", "process"] = "wall",
    arms: str = ",".join(ARMS),
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
        arms: which arms, joined by commas.
        out: file of the results.
    """
    setup, chosen = Setup(base, skill, batch_size, steps, threads, clock), arms.split(",")
    found = earlier_runs(out, asdict(setup))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as fresh:
        for number in range(rounds):
            for arm in chosen:
                runs = found.setdefault(arm, [])
                if len(runs) <= number:
                    runs.append(fresh.submit(run, arm, setup).result())
                    out.parent.mkdir(parents=True, exist_ok=True)
                    write_json(out, {"settings": asdict(setup), "runs": found})
    print_table({arm: found[arm] for arm in ARMS if found.get(arm)})


def earlier_runs(out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Read the runs of an earlier call with the same settings; none, if there is no file.

    Raises:
        SystemExit: if the settings were others.
    """
    if not out.exists():
        return {}
    earlier = read_json(out)
    if earlier["settings"] != json.loads(json.dumps(settings)):
        raise SystemExit(f"{out} holds runs with other settings: remove it, or give another --out")
    runs: dict[str, Any] = earlier["runs"]
    return runs


def print_table(found: dict[str, Sequence[dict[str, float]]]) -> None:
    """Print medians, the spread, and the ratios to ``peft`` where that was run."""
    table = Table("arm", "runs", "real tokens/s", "spread", "times peft", "start s", "peak GiB", "of peft's")
    peft = found.get("peft")
    for arm, runs in found.items():
        rates = [run["tokens_per_second"] for run in runs]
        peak, start = _median(runs, "peak_bytes"), _median(runs, "start_seconds")
        ratios = ("", "")
        if peft:
            speed = statistics.median(rates) / _median(peft, "tokens_per_second")
            ratios = f"{speed:.2f}", f"{peak / _median(peft, 'peak_bytes'):.2f}"
        spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
        cells = arm, str(len(runs)), f"{statistics.median(rates):,.0f}", spread, ratios[0], f"{start:.1f}"
        table.add_row(*cells, f"{peak / 2**30:.2f}", ratios[1])
    Console().print(table)


def _median(runs: Sequence[dict[str, float]], key: str) -> float:
    return statistics.median(run[key] for run in runs)


if __name__ == "__main__":
    auto_cli(main)
