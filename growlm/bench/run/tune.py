"""Running the tuning cells of a benchmark, and writing what they chose beside its results."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from growlm.bench.plan.cell import CELL_FILE, Cell, Measured, plan_cells
from growlm.bench.plan.entries import Entry
from growlm.bench.plan.stream import Stream
from growlm.bench.plan.tuning import (
    CHOICES_FILE,
    TUNE,
    TUNE_SEED,
    apply_choice,
    choose,
    default_rate,
    trials,
    tuning_stream,
    write_choices,
)
from growlm.bench.report.statistics import matrix_metrics
from growlm.bench.run.result import read_cell
from growlm.bench.run.run_cell import Bench
from growlm.bench.run.runner import Runs, run_bench
from growlm.data.example import Split
from growlm.errors import GrowlmError

_logger = logging.getLogger(__name__)
_SPLIT: Split = "validation"


def tune(
    stream: Stream,
    entries: Sequence[Entry],
    factors: Sequence[float],
    base: str,
    phase: Mapping[str, Any],
    tested: Sequence[int],
    bench: Bench,
    runs: Runs,
) -> list[Entry]:
    """Choose the learning rate, and the strength where there is one, of every entry; see ``growlm.bench.plan.tuning``.

    Tuning cells that are finished are not run again.

    Args:
        stream: the stream; its ``tuning_order`` is used.
        entries: the entries.
        factors: factors of each entry's learning rate.
        base: the base.
        phase: phase settings that replace the stream's and the entries'.
        tested: the seeds of the test.
        bench: where the results go; the tuning cells and ``choices.json`` go there, too.
        runs: what runs the cells.

    Returns:
        The entries with what was chosen.

    Raises:
        GrowlmError: if the stream has no tuning order, the request fixes the learning rate, a test has the tuning seed,
            or a cell failed.
    """
    if TUNE_SEED in tested:
        raise GrowlmError(f"seed {TUNE_SEED} is the one that --tune chooses with: test with others")
    if "learning_rate" in phase:
        raise GrowlmError("--tune chooses the learning rate: leave learning_rate out of --phase")
    rate = default_rate(stream)
    tuned = tuning_stream(stream)
    grids = [trials(entry, rate, factors) for entry in entries]
    points = [point for grid in grids for point in grid]
    measured = Measured("last", base_text=False)
    tried_entries = [point.entry for point in points]
    cells = plan_cells(tuned, tried_entries, [TUNE], [TUNE_SEED], base, dict(phase), measured, _SPLIT)
    place = replace(bench, out=bench.out / TUNE, keep_stacks=False, split=_SPLIT)
    _logger.info("tuning: %d entries, %d cells, scored on the %s split", len(entries), len(cells), _SPLIT)
    run_bench(cells, place, runs)
    scored = {cell.entry.label: _measured(cell, place) for cell in cells}
    tried = {
        entry.label: [point.tried | scored[point.entry.label] for point in grid]
        for entry, grid in zip(entries, grids, strict=True)
    }
    chosen = _write(bench, tried, tuned.tuning_order, factors, phase)
    return [apply_choice(entry, chosen, rate) for entry in entries]


def _write(
    bench: Bench,
    tried: Mapping[str, Sequence[dict[str, Any]]],
    order: Sequence[str],
    factors: Sequence[float],
    phase: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """Choose, write the choices with the protocol, and return them by label."""
    chosen = {label: choose(points) for label, points in tried.items()}
    everything = [point for points in tried.values() for point in points]
    protocol = {
        "chosen_by": "average performance after the last phase, in the mode that the method's authors intend",
        "split": _SPLIT,
        "order": list(order),
        "seed": TUNE_SEED,
        "factors": list(factors),
        "phase": dict(phase),
        "cells": len(everything),
        "seconds": round(sum(point["seconds"] for point in everything), 1),
    }
    choices = {label: {"chosen": chosen[label], "tried": tried[label]} for label in tried}
    write_choices(bench.out / CHOICES_FILE, choices, protocol)
    edges = [label for label, point in chosen.items() if point["at_edge"]]
    if edges:
        _logger.info(
            "chosen at the edge of the rates that were tried: %s; more --tune_factors run only the new trials",
            ", ".join(edges),
        )
    return chosen


def _measured(cell: Cell, bench: Bench) -> dict[str, Any]:
    result = read_cell(cell.folder(bench.out) / CELL_FILE)
    return {
        "ap": matrix_metrics(result.scores, result.mode)["ap"],
        "tokens": sum(phase["tokens"] for phase in result.costs),
        "seconds": round(sum(phase["wall_seconds"] for phase in result.costs), 1),
    }
