"""A cell of a benchmark: one method, in one order of the skills, with one seed; and which cells a request has."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from growlm.bench.plan.entries import Entry
from growlm.bench.plan.stream import ANY_ORDER, Stream
from growlm.data.example import Split
from growlm.errors import GrowlmError, unknown_name
from growlm.registry import methods
from growlm.registry import skills as registered
from growlm.train.config import NO_ROUTER, PhaseConfig

CELLS = "cells"
CELL_FILE = "cell.json"
STACK = "stack"
BY_TOKENS = ("token_accuracy", "loss")
"""Metrics that need no answers, and so can be measured in the middle of a phase."""
MatrixCells = Literal["lower", "full", "last"]
POOLED = "mixture"
"""The skill, and the module, of a method that is given all skills at once."""
AGAIN = "again"
"""The module of a trial."""


@dataclass(frozen=True)
class Measured:
    """What is measured.

    Args:
        matrix: which cells of the accuracy matrix: after each phase every skill learned so far (``lower``) or all
            skills (``full``, which forward transfer needs); or each skill after its own phase and after the last
            (``last``: enough for average performance and backward transfer, and much cheaper on long streams).
        blimp: folder of BLiMP's files, to measure grammar before and after; None: left out.
        base_text: whether the base's own text is scored after each phase that scores older skills.
        general: whether general ability is measured at the end, if the base's own text is scored; see
            ``growlm.bench.run.general``.
        fresh: a skill of no phase that is learned for a few steps from every checkpoint, as the first skill is at the
            end; None: neither (see ``growlm.bench.run.trials``).
        trial_steps: how many steps these are.
        curve: how often skills are scored in the middle of each phase; see ``growlm.bench.run.points``.
    """

    matrix: MatrixCells = "lower"
    blimp: str | None = None
    base_text: bool = True
    general: bool = True
    fresh: str | None = None
    trial_steps: int = 10
    curve: int = 0


@dataclass(frozen=True)
class PhasePlan:
    """One phase of a cell.

    Args:
        name: the module's name.
        steps: its steps.
        arguments: options of ``PhaseConfig``, the stack's folder apart.
    """

    name: str
    steps: int
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One method, in one order, with one seed.

    Args:
        entry: the method with its options.
        stream: the skills.
        order: the order's name; ``any`` for a method that is given all skills at once.
        seed: seed of all phases.
        base: the base of the new stack.
        phase: the phase settings, resolved.
        measured: what else is measured.
        split: the split that is scored.
    """

    entry: Entry
    stream: Stream
    order: str
    seed: int
    base: str
    phase: dict[str, Any]
    measured: Measured
    split: Split = "test"

    @property
    def name(self) -> str:
        """Its name in progress and messages."""
        return f"{self.entry.label}, order {self.order}, seed {self.seed}"

    @property
    def skills(self) -> tuple[str, ...]:
        """The skills in the order of learning."""
        return tuple(self.stream.skills) if self.order == ANY_ORDER else self.stream.orders[self.order]

    @property
    def at_once(self) -> bool:
        """Whether all skills are learned in one phase."""
        return self.order == ANY_ORDER

    def folder(self, out: Path) -> Path:
        """Return the cell's folder inside that of the results."""
        return out / CELLS / self.entry.label / f"order-{self.order}" / f"seed-{self.seed}"

    def settings(self) -> dict[str, Any]:
        """Return what the cell's result is a function of, as JSON holds it."""
        return {
            "label": self.entry.label,
            "method": self.entry.method,
            "options": self.entry.options,
            **({"per_skill": self.entry.per_skill} if self.entry.per_skill else {}),
            "stream": self.stream.name,
            "order": self.order,
            "skills": [
                {"name": name, "skill": self.stream.skills[name].skill, "options": self.stream.skills[name].options}
                for name in self.skills
            ],
            "composites": {name: list(needs) for name, needs in self.stream.composites.items()},
            "base": self.base,
            "phase": self.phase,
            "seed": self.seed,
            "matrix": self.measured.matrix,
            "blimp": self.measured.blimp,
            **({} if self.measured.base_text else {"base_text": False}),
            **({} if self.measured.general else {"general": False}),
            **({"fresh": self.measured.fresh, "trial_steps": self.measured.trial_steps} if self.has_trials else {}),
            **({"curve": self.measured.curve} if self.measured.curve else {}),
            **({"split": self.split} if self.split != "test" else {}),
        }

    def phases(self) -> Iterator[PhasePlan]:
        """Yield the phases; skills that are learned at once get as many steps as they would get one by one."""
        common, steps = self._common(), self.phase["steps"]
        if self.at_once:
            pooled = {name: {"skill": s.skill, "options": s.options} for name, s in self.stream.skills.items()}
            own = {"skill": POOLED, "skill_options": {"skills": pooled}, "method_options": self.entry.options}
            yield PhasePlan(POOLED, steps * len(pooled), {**common, **own})
            return
        for name in self.skills:
            skill = self.stream.skills[name]
            own = {"name": name, "skill": skill.skill, "skill_options": skill.options}
            own["method_options"] = self.entry.options_for(name)
            rescored = self.measured.base_text and self.scores_all_after(name)
            yield PhasePlan(name, steps, {**common, **self.entry.phase_for(name), **own, "rescore": rescored})

    @property
    def has_trials(self) -> bool:
        """Whether its model is tried on further phases, which one that learned all skills at once is not."""
        return self.measured.fresh is not None and not self.at_once

    def trial(self, skill: str, options: Mapping[str, Any]) -> PhasePlan:
        """Return a phase of a few steps that tries how well the model learns.

        Args:
            skill: the registered skill.
            options: its options.
        """
        own = {"name": AGAIN, "skill": skill, "skill_options": dict(options), "method_options": self.entry.options}
        return PhasePlan(
            AGAIN, self.measured.trial_steps, {**self._common(), **own, "rescore": False, "router": NO_ROUTER}
        )

    def _common(self) -> dict[str, Any]:
        """Return what all phases have in common."""
        common = {key: value for key, value in self.phase.items() if key != "steps"}
        return common | {"base": self.base, "method": self.entry.method, "seed": self.seed}

    def scores_all_after(self, skill: str) -> bool:
        """Return whether the older skills are scored, too, after the phase of a skill."""
        return self.measured.matrix != "last" or skill == self.skills[-1]


def plan_cells(
    stream: Stream,
    entries: Sequence[Entry],
    orders: Sequence[str],
    seeds: Sequence[int],
    base: str,
    phase: dict[str, Any],
    measured: Measured,
    split: Split = "test",
) -> list[Cell]:
    """List the cells of a request: entries, orders and seeds crossed.

    A method that is given all skills at once has one cell for each seed, whatever the order.

    Args:
        stream: the stream.
        entries: the entries.
        orders: names of orders of the stream.
        seeds: the seeds.
        base: the base.
        phase: phase settings that replace the stream's and the entries'.
        measured: what else is measured.
        split: the split that is scored.

    Returns:
        The cells, seed by seed, so that an interrupted benchmark has whole tables.

    Raises:
        GrowlmError: for an unknown order, options for an unknown skill, or points in the middle of a phase that is
            scored by whole answers.
    """
    for order in orders:
        if order not in stream.orders:
            raise unknown_name(f"order of stream {stream.name!r}", order, stream.orders)
    for entry in entries:
        for name in entry.per_skill:
            if name not in stream.skills and name not in registered:  # others' streams have other skills
                raise unknown_name(f"skill in 'per_skill' of entry {entry.label!r}", name, [*stream.skills])
    cells: list[Cell] = []
    for seed in seeds:
        for order in orders:
            for asked in entries:
                entry = asked.without_rates() if "learning_rate" in phase else asked
                settings = {"num_scored": PhaseConfig.num_scored, **stream.phase, **entry.phase, **phase}
                _check_curve(measured, settings, entry)
                if not methods.build(entry.method, entry.options).at_once:
                    cells.append(Cell(entry, stream, order, seed, base, settings, measured, split))
                elif order == orders[0]:
                    cells.append(Cell(entry, stream, ANY_ORDER, seed, base, settings, measured, split))
    return cells


def _check_curve(measured: Measured, settings: dict[str, Any], entry: Entry) -> None:
    metric = settings.get("metric")
    if measured.curve and metric not in BY_TOKENS:
        raise GrowlmError(
            f"--curve scores tokens in the middle of a phase, and entry {entry.label!r} is scored by "
            f'{metric or "the metrics of the skills"}: add --phase \'{{"metric": "token_accuracy"}}\''
        )


def check_fresh(skill: str | None, stream: Stream) -> str | None:
    """Refuse a skill for trials that there is none of, or that the stream learns.

    Args:
        skill: the skill; None: there are no trials.
        stream: the stream.

    Returns:
        The skill.

    Raises:
        GrowlmError: if there is no such skill, or a phase learns it.
    """
    if skill is None:
        return None
    if skill not in registered:
        raise unknown_name("skill of --fresh", skill, registered)
    if any(own.skill == skill for own in stream.skills.values()):
        raise GrowlmError(f"--fresh {skill} is a skill of stream {stream.name!r}: give one that no phase learns")
    return skill


def parse_seeds(words: str) -> list[int]:
    """Read seeds: whole numbers joined by commas.

    Raises:
        GrowlmError: for anything else, or a seed that is given twice.
    """
    try:
        seeds = [int(word) for word in words.split(",")]
    except ValueError:
        raise GrowlmError(
            f"--seeds {words!r} are not seeds: give whole numbers joined by commas, such as 0,1,2"
        ) from None
    if len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise GrowlmError(f"--seeds {words!r}: give each seed once, from 0 up")
    return seeds
