"""Whether skills that were learned apart combine: what the composite skills score, by every way to use the modules.

``python benchmarks/composition.py --base nano --steps 300 --out results/composition``: run again, it goes on where it
was. Every skill is grown alone on the bare base (stack ``alone``), and, unless ``--on none``, one on another as asked
(stack ``grown``); ``joint`` is one full fine-tuning on all skills at once, as many steps as all phases together. Then,
for every composite skill whose parts were grown, with greedy decoding:

- ``base``: the bare base, and ``single``: the best of the modules grown alone, whatever its skill;
- ``sum``: all modules grown alone, switched on together, and ``sum_parts``: those of the composite's parts only;
- ``stack``: all modules of ``grown``, and ``stack_parts``: the parts and what they were grown on;
- ``joint``: the yardstick; (column - base) / (joint - base) is the share of it that is reached.

A composite that ``single`` solves to 80 % of ``joint`` is none, and is flagged; so is one that ``joint`` does not solve
to well above ``base``, of which nothing can be told.
"""

import json
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from jsonargparse import auto_cli

from growlm.errors import GrowlmError
from growlm.files import read_json, write_json
from growlm.methods.grow import DEFAULT_MODULE
from growlm.metrics.scoring import score
from growlm.registry import skills as registered
from growlm.skills._procedural import Composite
from growlm.stack.path import Path as StackPath
from growlm.stack.stack import ModuleStack
from growlm.train.memory import PhaseMemory
from growlm.train.phase import GrowPhase
from growlm.train.trainer import GrowTrainer

SINGLE_SHARE = 0.8
LEAST_GAIN = 0.1
COLUMNS = ("base", "single", "sum_parts", "sum", "stack_parts", "stack", "joint")

Cells = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Settings:
    """What a run depends on; a folder holds one."""

    base: str
    skills: list[str]
    on: str
    module: dict[str, dict[str, Any]]
    steps: int
    joint_steps: int
    batch_size: int
    learning_rate: float
    joint_learning_rate: float
    num_train: int
    num_test: int
    difficulty: float


@dataclass
class Run:
    """One seed's stacks and scores."""

    settings: Settings
    seed: int
    folder: Path
    memory: PhaseMemory = field(default_factory=PhaseMemory)

    def grow(self, stack: str, name: str, steps: int, on: str = "none", **settings: Any) -> None:
        """Grows a module of a stack unless it is there."""
        say(f"seed {self.seed}: {stack} stack, {name}, {steps} steps")
        asked = self.settings
        phase = GrowPhase(
            **{
                "skill": name,
                "skill_options": self.skill_options(),
                "name": name,
                "stack": self.folder / stack,
                "base": asked.base,
                "on": on,
                "method_options": {"module": asked.module},
                "batch_size": asked.batch_size,
                "learning_rate": asked.learning_rate,
                "num_scored": 1,  # composites are what is scored here
                "router": "none",
                "seed": self.seed,
                **settings,
            }
        )
        phase.remember(self.memory)
        GrowTrainer(max_steps=steps).fit(phase)

    def skill_options(self) -> dict[str, Any]:
        """Gives the options that every skill of the run has."""
        return {"num_train": self.settings.num_train, "difficulty": self.settings.difficulty}

    def grow_all(self) -> None:
        """Grows every stack that the columns need."""
        asked = self.settings
        for name in asked.skills:
            self.grow("alone", name, asked.steps)
        if asked.on != "none":
            for name in asked.skills:
                self.grow("grown", name, asked.steps, asked.on)
        mixed = {name: {"skill": name, "options": self.skill_options()} for name in asked.skills}
        self.grow(
            "joint",
            "mixture",
            asked.joint_steps,
            skill_options={"skills": mixed},
            method="joint",
            method_options={},
            learning_rate=asked.joint_learning_rate,
        )

    def measure(self, composites: Mapping[str, tuple[str, ...]]) -> Cells:
        """Scores every composite, and every single skill, by every column; what is in the file already is kept."""
        file = self.folder / "scores.json"
        cells: Cells = read_json(file) if file.exists() else {}
        stacks: dict[str, ModuleStack] = {}
        for name, parts in {**{skill: (skill,) for skill in self.settings.skills}, **composites}.items():
            skill = registered.build(name, {"num_test": self.settings.num_test, "difficulty": self.settings.difficulty})
            row = cells.setdefault(name, {})
            for column, (where, path) in self.paths(parts).items():
                if column in row:
                    continue
                if where not in stacks:
                    stacks[where] = ModuleStack.from_pretrained(self.folder / where, base=self.settings.base)
                say(f"seed {self.seed}: {name} by {column}")
                with stacks[where].active(*path(stacks[where])):
                    row[column] = score(stacks[where], skill).value
                write_json(file, cells)
        return cells

    def paths(self, parts: tuple[str, ...]) -> dict[str, tuple[str, Callable[[ModuleStack], StackPath]]]:
        """Gives, for each column of a composite, the stack and the path on it."""

        def joined(stack: ModuleStack, names: tuple[str, ...]) -> StackPath:
            union = {module for name in names for module in stack.path_of(name)}
            return tuple(module for module in stack.parents() if module in union)

        def own(name: str, stack: ModuleStack) -> StackPath:
            return stack.path_of(name)

        everything = tuple(self.settings.skills)
        columns: dict[str, tuple[str, Callable[[ModuleStack], StackPath]]] = {"base": ("alone", lambda stack: ())}
        for name in everything:
            columns[f"alone {name}"] = ("alone", partial(own, name))
        columns["sum_parts"] = ("alone", lambda stack: joined(stack, parts))
        columns["sum"] = ("alone", lambda stack: joined(stack, everything))
        if self.settings.on != "none":
            columns["stack_parts"] = ("grown", lambda stack: joined(stack, parts))
            columns["stack"] = ("grown", lambda stack: joined(stack, everything))
        columns["joint"] = ("joint", lambda stack: stack.path_of("mixture"))
        return columns


def main(
    base: str = "nano",
    skills: tuple[str, ...] = ("chat", "memory", "reasoning", "arithmetic", "commands"),
    on: str = "all",
    module: dict[str, dict[str, Any]] | None = None,
    steps: int = 300,
    joint_steps: int | None = None,
    batch_size: int = 16,
    learning_rate: float = 2e-3,
    joint_learning_rate: float = 1e-3,
    num_train: int = 6_000,
    num_test: int = 100,
    difficulty: float = 0.5,
    seeds: tuple[int, ...] = (0,),
    out: Path = Path("results/composition"),
) -> None:
    """Grows the single skills, scores the composites by every column, writes ``composition.json`` and prints a table.

    Args:
        base: name of a shipped base, or a folder.
        skills: the single skills, in the order they are grown in.
        on: what the modules of the stack ``grown`` stand on: ``all``, or ``none`` to leave that stack out.
        module: kinds of the modules and their options; left out: the default of ``grow``.
        steps: steps of a phase.
        joint_steps: steps of joint training; left out: as many as all phases have together.
        batch_size: examples per step.
        learning_rate: of a phase.
        joint_learning_rate: of joint training, all of whose weights move.
        num_train: training examples of each skill.
        num_test: test examples of each composite.
        difficulty: of all skills, from 0 to 1.
        seeds: seeds of the phases.
        out: folder of the stacks and the result.
    """
    settings = Settings(
        base=base,
        skills=list(skills),
        on=on,
        module=module or DEFAULT_MODULE,
        steps=steps,
        joint_steps=joint_steps or steps * len(skills),
        batch_size=batch_size,
        learning_rate=learning_rate,
        joint_learning_rate=joint_learning_rate,
        num_train=num_train,
        num_test=num_test,
        difficulty=difficulty,
    )
    keep_settings(out / "settings.json", settings)
    composites = {
        name: registered.get(name).parts
        for name in registered
        if issubclass(registered.get(name), Composite) and {*registered.get(name).parts} <= {*skills}
    }
    by_seed: dict[str, Cells] = {}
    for seed in seeds:
        run = Run(settings, seed, out / f"seed-{seed}")
        run.grow_all()
        by_seed[str(seed)] = run.measure(composites)
        result = {"settings": asdict(settings), "seeds": by_seed, "summary": summary(by_seed, composites)}
        write_json(out / "composition.json", result)
    sys.stdout.write(table(summary(by_seed, composites)))


def keep_settings(file: Path, settings: Settings) -> None:
    """Refuses a folder that holds another run.

    Args:
        file: where the settings are kept.
        settings: those of this run.

    Raises:
        GrowlmError: naming what differs.
    """
    asked = json.loads(json.dumps(asdict(settings)))
    if file.exists():
        there = read_json(file)
        changed = [f"{key} {there.get(key)!r}" for key in asked if there.get(key) != asked[key]]
        if changed:
            raise GrowlmError(
                f"{file.parent} holds a run with other settings ({', '.join(changed)}): give another --out"
            )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, asked)


def summary(by_seed: Mapping[str, Cells], composites: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, Any]]:
    """Gives means over the seeds, shares of what joint training gains, and flags.

    Args:
        by_seed: for each seed, the scores by skill and column.
        composites: for each composite, its parts.

    Returns:
        For each skill: the columns' means, ``best`` (the skill whose module alone is best), ``shares`` and ``flags``.
    """
    told: dict[str, dict[str, Any]] = {}
    for name in next(iter(by_seed.values())):
        rows = [cells[name] for cells in by_seed.values()]
        means = {column: statistics.fmean(row[column] for row in rows) for column in rows[0]}
        alone = {column: value for column, value in means.items() if column.startswith("alone ")}
        best = max(alone, key=lambda column: alone[column])
        means["single"] = alone[best]
        gain = means["joint"] - means["base"]
        columns = {column: means[column] for column in COLUMNS if column in means}
        flags = []
        if name in composites and gain < LEAST_GAIN:
            flags.append("joint does not solve it")
        elif name in composites and means["single"] >= SINGLE_SHARE * means["joint"]:
            flags.append("one skill suffices")
        told[name] = {
            **columns,
            "best": best.removeprefix("alone "),
            "shares": {column: (value - means["base"]) / gain for column, value in columns.items() if gain > 0},
            "flags": flags,
            "composite": name in composites,
            "spread": {column: statistics.stdev(row[column] for row in rows) for column in rows[0] if len(rows) > 1},
        }
    return told


def table(told: Mapping[str, Mapping[str, Any]]) -> str:
    """Writes the scores in percent, and the mean share of joint training's gain over the composites."""
    columns = [column for column in COLUMNS if column in next(iter(told.values()))]
    lines = [f"{'skill':24}" + "".join(f"{column:>12}" for column in columns) + "  best single"]
    for name, row in told.items():
        cells = "".join(f"{100 * row[column]:12.1f}" for column in columns)
        lines.append(f"{name:24}{cells}  {row['best']} {'; '.join(row['flags'])}")
    measured = [row for row in told.values() if row["composite"] and "joint does not solve it" not in row["flags"]]
    if measured:
        shares = [statistics.fmean(row["shares"].get(column, 0.0) for row in measured) for column in columns]
        lines.append(f"{'share of joint gain':24}" + "".join(f"{share:12.2f}" for share in shares))
    return "\n".join(lines) + "\n"


def say(text: str) -> None:
    """Tells what goes on, on standard error."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    auto_cli(main)
