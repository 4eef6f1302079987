"""Score against seconds, by the layers that a module changes: ``python benchmarks/placement.py``.

A module in the upper layers alone is cheaper: gradients end at its lowest layer, and with ``cache_hidden_states`` the
layers below run once for every example. Entries: ``default``, the module of the recipes; ``lora``, the same without a
change of the token embedding; ``half`` and ``quarter``, LoRA of twice the rank in the upper half and quarter of the
layers. These two read each example in two epochs, half as many different examples in as many steps.

Each run is a fresh process. Seconds are those of the training steps. Every run is written to the file of results when
it ends; the same command again adds the runs that are missing.
"""

import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

from jsonargparse import auto_cli
from rich.console import Console
from rich.table import Table
from speed import CLOCKS, Clock, earlier_runs, step_timer, upper_layers

from growlm.files import write_json

ENTRIES: dict[str, tuple[dict[str, Any], float]] = {
    "default": ({"lora": {"rank": 16}, "embedding": {"rank": 16}}, 1.0),
    "lora": ({"lora": {"rank": 16}}, 1.0),
    "half": ({"lora": {"rank": 32}}, 0.5),
    "quarter": ({"lora": {"rank": 32}}, 0.25),
}
"""The kinds of a module, and the share of the layers that it is in, from the top."""


@dataclass(frozen=True)
class Setup:
    """What all runs have in common."""

    base: str
    skill: str
    batch_size: int
    learning_rate: float
    num_scored: int
    threads: int
    clock: str


def run(entry: str, steps: int, setup: Setup) -> dict[str, float]:
    """Grow one module in this process; return its score, its validation loss, and seconds and tokens of its steps."""
    import torch

    from growlm.train.fit import fit_phase, new_trainer
    from growlm.train.phase import GrowPhase

    torch.set_num_threads(setup.threads)
    clock = Clock(CLOCKS[setup.clock])
    kinds, share = ENTRIES[entry]
    if is_deep := share < 1:
        kinds = {"lora": {**kinds["lora"], "layers": upper_layers(setup.base, share)}}
    with tempfile.TemporaryDirectory() as folder:
        phase = GrowPhase(
            setup.skill, stack=Path(folder, "stack"), base=setup.base, batch_size=setup.batch_size,
            learning_rate=setup.learning_rate, method_options={"module": kinds}, cache_hidden_states=is_deep,
            skill_options={"num_train": setup.batch_size * steps // (2 if is_deep else 1)}, router="none",
            num_scored=setup.num_scored, rescore=False, validate_every=steps, checkpoint_every=0,
        )  # fmt: skip
        grown = fit_phase(phase, new_trainer(max_steps=steps, accelerator="cpu", callbacks=[step_timer(clock)]))
    return {
        "score": 100 * grown.record.scores[grown.record.name]["oracle"]["value"],
        "loss": phase.validation.losses[-1][1],
        "seconds": sum(clock.seconds),
        "tokens": sum(clock.tokens),
    }


def main(
    base: str = "mini",
    skill: str = "chat",
    batch_size: int = 8,
    learning_rate: float = 3e-3,
    num_scored: int = 100,
    steps: tuple[int, ...] = (500, 1000),
    threads: int = 2,
    clock: Literal["wall", "process"] = "wall",
    entries: str = ",".join(ENTRIES),
    out: Path | None = None,
) -> None:
    """Run all entries, and write and print what they reach in which time.

    Args:
        base: name of a shipped base, or a folder.
        skill: the skill.
        batch_size: examples per step.
        learning_rate: highest learning rate.
        num_scored: test examples that are scored.
        steps: steps of a run, for each number one.
        threads: CPU threads.
        clock: what seconds are; ``process`` counts the processor's, for a machine that does other work.
        entries: which entries, joined by commas.
        out: file of the results (default: ``results/placement-<base>.json``).
    """
    setup = Setup(base, skill, batch_size, learning_rate, num_scored, threads, clock)
    out = out or Path(f"results/placement-{Path(base).name}.json")
    found = earlier_runs(out, asdict(setup))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as fresh:
        for number in steps:
            for entry in entries.split(","):
                if (key := f"{entry}, {number} steps") not in found:
                    found[key] = fresh.submit(run, entry, number, setup).result()
                    out.parent.mkdir(parents=True, exist_ok=True)
                    write_json(out, {"settings": asdict(setup), "runs": found})
    table = Table("module", "score, %", "validation loss", "seconds", "tokens")
    for key, one in found.items():
        table.add_row(
            key, f"{one['score']:.1f}", f"{one['loss']:.3f}", f"{one['seconds']:.0f}", f"{one['tokens']:,.0f}"
        )
    Console().print(table)


if __name__ == "__main__":
    auto_cli(main)
