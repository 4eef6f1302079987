"""Choices that PMoE's abstract leaves open, compared on TinyWorld: where the boundary is, and how experts are routed.

``python benchmarks/pmoe.py --base nano --steps 100 --seeds [0,1,2] --out results/pmoe``: run again, it goes on where
it was. For every boundary (share of the layers that are shallow), routing (per token or per sequence), training signal
of the router (``lm``, the task's loss alone, or ``identity``, telling skills apart besides), and with and without a
general change of the shallow layers in the first phase, one stack is grown skill by skill; then every skill is scored
with greedy decoding:

- ``oracle``: on its own path, that of its day: what was learned;
- ``all``: with all modules active, so that the router inside weighs the experts, and ``top-1``: with the first expert
  of every token only;
- ``routing``: share of the prompts for which the skill's own column is the greatest (router ``learned``);
- ``base``: stories in bits per byte with all modules active, the bare base's in brackets: how much of the base is hit.

Means over skills, then mean and spread over seeds.
"""

import itertools
import statistics
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from jsonargparse import auto_cli

from growlm.data.prompts import drawn_prompts
from growlm.errors import GrowlmError
from growlm.files import read_json, write_json
from growlm.metrics.scoring import score
from growlm.registry import skills as registered
from growlm.routing._columns import columns
from growlm.routing.learned import Learned
from growlm.stack.stack import ModuleStack
from growlm.train.phase import GrowPhase
from growlm.train.trainer import GrowTrainer

COLUMNS = ("oracle", "all", "top-1", "routing", "base")
IDENTITY = {"lm": 0.0, "identity": 1.0}


@dataclass(frozen=True)
class Settings:
    """What a run depends on; a folder holds one."""

    base: str
    skills: list[str]
    steps: int
    rank: int
    replay: float
    batch_size: int
    learning_rate: float
    num_scored: int


@dataclass(frozen=True)
class Cell:
    """One stack of the comparison."""

    boundary: float
    per: str
    signal: str
    general: bool
    seed: int

    def __str__(self) -> str:
        shallow = "general" if self.general else "frozen"
        return f"{self.boundary:g}-{self.per}-{self.signal}-{shallow}-{self.seed}"


def main(
    out: str,
    base: str = "nano",
    skills: list[str] | None = None,
    boundaries: list[float] | None = None,
    per: list[str] | None = None,
    signals: list[str] | None = None,
    general: list[bool] | None = None,
    seeds: list[int] | None = None,
    steps: int = 100,
    rank: int = 8,
    replay: float = 0.01,
    batch_size: int = 16,
    learning_rate: float = 1e-2,
    num_scored: int = 50,
) -> None:
    """Grows what is not there yet, scores it, and prints the table.

    Args:
        out: folder of the stacks and of ``result.json``.
        base: name of a shipped base, or a folder.
        skills: skills in the order of learning; None: chat, memory, reasoning, arithmetic and commands.
        boundaries: shares of the layers that are shallow; None: 1/4, 1/2 and 3/4.
        per: what is routed; None: token and sequence.
        signals: what teaches the router; None: lm and identity.
        general: whether the first phase trains the shallow layers' change; None: both.
        seeds: seeds; None: 0, 1 and 2.
        steps: steps of every phase.
        rank: rank of the experts.
        replay: share of each skill's examples whose prompts are kept for ``identity``.
        batch_size: examples per step.
        learning_rate: highest learning rate.
        num_scored: how many test examples of each skill are scored.
    """
    order = skills or ["chat", "memory", "reasoning", "arithmetic", "commands"]
    settings = Settings(base, order, steps, rank, replay, batch_size, learning_rate, num_scored)
    file = Path(out) / "result.json"
    result: dict[str, Any] = read_json(file) if file.exists() else {"settings": asdict(settings), "cells": {}}
    if result["settings"] != asdict(settings):
        raise GrowlmError(f"{file} was made with other settings: give another --out")
    choices = list(
        itertools.product(
            boundaries or [0.25, 0.5, 0.75],
            per or ["token", "sequence"],
            signals or list(IDENTITY),
            [True, False] if general is None else general,
        )
    )
    for seed in seeds or [0, 1, 2]:
        for choice in choices:
            cell = Cell(*choice, seed=seed)
            if str(cell) not in result["cells"]:
                result["cells"][str(cell)] = measure(grow(settings, cell, Path(out) / str(cell)), settings)
                write_json(file, result)
    sys.stdout.write(table(result["cells"], [Cell(*choice, seed=0) for choice in choices], seeds or [0, 1, 2]))


def grow(settings: Settings, cell: Cell, folder: Path) -> ModuleStack:
    """Grows the stack of a cell, or what is missing of it."""
    options = {
        "rank": settings.rank,
        "boundary": cell.boundary,
        "per": cell.per,
        "general": cell.general,
        "identity": IDENTITY[cell.signal],
        "replay": settings.replay,
    }
    stack = None
    for skill in settings.skills:
        phase = GrowPhase(
            skill,
            stack=folder,
            base=settings.base,
            method="pmoe",
            method_options=options,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            num_scored=1,  # scored below, once
            router="learned",
            seed=cell.seed,
        )
        trainer = GrowTrainer(max_steps=settings.steps)
        trainer.fit(phase)
        assert trainer.grown is not None
        stack = trainer.grown.stack
    assert stack is not None
    return stack


def measure(stack: ModuleStack, settings: Settings) -> dict[str, dict[str, float]]:
    """Scores every skill of a stack in every way."""
    router = stack.router
    assert isinstance(router, Learned)
    scores: dict[str, dict[str, float]] = {name: {} for name in COLUMNS}
    everything = stack.manifest.current()
    for name in settings.skills:
        skill, own = registered.build(name), stack.path_of(name)
        for column, path, top_k in (("oracle", own, None), ("all", everything, None), ("top-1", everything, 1)):
            for part in columns(stack).values():
                part.top_k = top_k
            with stack.active(*path):
                scores[column][name] = score(stack, skill, limit=settings.num_scored).value
        prompts = drawn_prompts(skill, "test", stack.tokenizer, 4 * settings.num_scored)
        chosen = router.choose(stack, prompts)
        scores["routing"][name] = sum(path == own for path in chosen) / len(chosen)
    for column, path in (("all", everything), ("bare", ())):
        with stack.active(*path):
            scores["base"][column] = score(stack, registered.build("stories"), limit=settings.num_scored).value
    return scores


def table(cells: dict[str, Any], choices: list[Cell], seeds: list[int]) -> str:
    """Writes the table in Markdown."""
    lines = [
        f"| boundary | per | signal | general | {' | '.join(COLUMNS)} |",
        "|---|---|---|---|" + "---|" * len(COLUMNS),
    ]
    for choice in choices:
        runs = [cells[str(replace(choice, seed=seed))] for seed in seeds]
        entries = [spread([statistics.mean(run[name].values()) for run in runs], 100) for name in COLUMNS[:-1]]
        bare = statistics.mean(run["base"]["bare"] for run in runs)
        entries.append(f"{spread([run['base']['all'] for run in runs], 1)} ({bare:.3g})")
        general = "yes" if choice.general else "no"
        lines.append(f"| {choice.boundary:g} | {choice.per} | {choice.signal} | {general} | {' | '.join(entries)} |")
    return "\n".join(lines) + "\n"


def spread(values: list[float], scale: float) -> str:
    """Writes mean and, of several values, standard deviation."""
    mean = f"{scale * statistics.mean(values):.3g}"
    return mean if len(values) == 1 else f"{mean} ± {scale * statistics.stdev(values):.2g}"


if __name__ == "__main__":
    auto_cli(main, as_positional=False)
