"""What fusing by importance brings: TaSL, KIF and Recurrent-KIF with and without, on two related skills.

    python benchmarks/kif_ablations.py [--base nano] [--skills memory,reasoning] [--steps 100] [--examples 2000]
                                       [--seeds 0,1,2] [--out runs/kif-ablations] [--json FILE]

Each variant learns the skills one after the other and is scored on each after each phase (``growlm bench`` does the
work: what is finished is not run again, and an interrupted run goes on). Printed, and written as JSON: the mean over
seeds, and the spread, of average performance, learning accuracy and backward transfer, in accuracy and in nats.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from growlm.bench.cell import CELL_FILE, Cell, Measured, parse_seeds, plan_cells
from growlm.bench.entries import Entry
from growlm.bench.local import machine_workers
from growlm.bench.result import CellResult, read_cell
from growlm.bench.run import run_bench
from growlm.bench.run_cell import Bench
from growlm.bench.stream import Stream, StreamSkill
from growlm.errors import GrowlmError
from growlm.files import write_json
from growlm.metrics.accuracy_matrix import AccuracyMatrix

MODE = "all"
"""The one path that there is: each phase's module supersedes the last."""

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "no-fusion": ("lora_sequential", {}),
    "one-merge": ("tasl", {"fusion": "average"}),
    "tasl-matrix-static": ("tasl", {}),
    "tasl-rank-static": ("tasl", {"units": "rank"}),
    "kif-softmax": ("kif", {}),
    "kif-static": ("kif", {"fusion": "static"}),
    "kif-one-merge": ("kif", {"fusion": "average"}),
    "kif-no-fusion": ("kif", {"fusion": "none"}),
    "kif-softmax-free": ("kif", {"orthogonality": 0.0}),
    "kif-static-free": ("kif", {"orthogonality": 0.0, "fusion": "static"}),
    "recurrent-mask": ("recurrent_kif", {}),
    "recurrent-softmax": ("recurrent_kif", {"fusion": "softmax"}),
    "recurrent-average": ("recurrent_kif", {"fusion": "average"}),
    "recurrent-no-fusion": ("recurrent_kif", {"fusion": "none"}),
    "replay-2": ("replay", {"method": "lora_sequential", "share": 0.02}),
}
"""By label, a method and its options. ``free``: the ranks are not held orthonormal."""

FIGURES = ("ap", "learning_accuracy", "bwt")


def cells_of(arguments: argparse.Namespace) -> list[Cell]:
    """Lists what is run.

    Args:
        arguments: the command line's.
    """
    names = tuple(arguments.skills.split(","))
    if len(names) < 2:
        raise GrowlmError(
            f"--skills {arguments.skills!r}: backward transfer needs two skills or more, joined by commas"
        )
    options = {"num_train": arguments.examples}
    stream = Stream("kif-ablations", {name: StreamSkill(name, options) for name in names}, {"1": names}, {}, {})
    labels = arguments.variants.split(",") if arguments.variants else list(VARIANTS)
    unknown = [label for label in labels if label not in VARIANTS]
    if unknown:
        raise GrowlmError(f"--variants {unknown[0]!r} is none of {', '.join(VARIANTS)}")
    phase = {"steps": arguments.steps, "num_scored": arguments.scored, "batch_size": 16, "router": "none"}
    entries = [Entry(label, *VARIANTS[label], phase={}) for label in labels]
    return plan_cells(stream, entries, ["1"], parse_seeds(arguments.seeds), arguments.base, phase, Measured())


def figures(result: CellResult) -> dict[str, float]:
    """Computes a cell's figures from its scores, and ``_loss`` ones from its losses (there, lower is better).

    Args:
        result: what the cell measured.
    """
    found: dict[str, float] = {}
    for suffix, tables in (("", result.scores), ("_loss", result.losses)):
        computed = AccuracyMatrix.from_rows(tables.modes[MODE]).compute()
        found |= {name + suffix: float(computed[name]) for name in FIGURES}
    return found


def summary(results: Sequence[CellResult]) -> dict[str, dict[str, Any]]:
    """Puts together the figures of each variant over its seeds: mean, and standard deviation if there are several.

    Args:
        results: what the cells measured.
    """
    by_label: dict[str, list[CellResult]] = {}
    for result in results:
        by_label.setdefault(result.settings["label"], []).append(result)
    table: dict[str, dict[str, Any]] = {}
    for label, same in by_label.items():
        each = [figures(result) for result in same]
        table[label] = {
            key: {
                "mean": statistics.mean(found[key] for found in each),
                "spread": statistics.stdev(found[key] for found in each) if len(each) > 1 else None,
            }
            for key in each[0]
        }
        table[label]["seeds"] = [result.settings["seed"] for result in same]
        table[label]["matrices"] = [result.scores.modes[MODE] for result in same]
        table[label]["seconds"] = statistics.mean(sum(cost["seconds"] for cost in result.costs) for result in same)
    return table


def print_table(table: dict[str, dict[str, Any]]) -> None:
    """Prints the figures, a variant a line, the least forgetful first."""
    names = [name + suffix for suffix in ("", "_loss") for name in FIGURES]
    print_line(f"{'variant':<22}" + "".join(f"{name:>24}" for name in names))
    for label, found in sorted(table.items(), key=lambda item: -item[1]["bwt"]["mean"]):
        print_line(f"{label:<22}" + "".join(f"{_cell(found[name]):>24}" for name in names))


def _cell(figure: dict[str, float | None]) -> str:
    spread = "" if figure["spread"] is None else f" ± {figure['spread']:.3f}"
    return f"{figure['mean']:+.3f}{spread}"


def print_line(line: str) -> None:
    """Writes a line to the terminal."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(words: Sequence[str]) -> None:
    """Runs what is missing and prints the table.

    Args:
        words: the command line.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--base", default="nano", help="name of a shipped base, or a folder")
    parser.add_argument("--skills", default="memory,reasoning", help="the skills in their order, joined by commas")
    parser.add_argument("--variants", default="", help=f"some of {', '.join(VARIANTS)}; all if left out")
    parser.add_argument("--steps", type=int, default=100, help="steps of a phase")
    parser.add_argument("--examples", type=int, default=2000, help="training examples of each skill")
    parser.add_argument("--scored", type=int, default=100, help="test examples of each skill")
    parser.add_argument("--seeds", default="0,1,2", help="seeds, joined by commas")
    parser.add_argument("--workers", type=int, default=None, help="processes; one for each core if left out")
    parser.add_argument("--out", type=Path, default=Path("runs/kif-ablations"), help="folder of the results")
    parser.add_argument("--json", type=Path, default=None, help="file of the table; beside the results if left out")
    arguments = parser.parse_args(words)
    try:
        cells = cells_of(arguments)
        bench = Bench(arguments.out, "auto", keep_stacks=False)
        workers = machine_workers(arguments.workers)
        run_bench(cells, bench, workers, "local", {}, " ".join(["python", *sys.argv]), print_line)
        table = summary([read_cell(cell.folder(arguments.out) / CELL_FILE) for cell in cells])
    except GrowlmError as error:
        sys.exit(str(error))
    settings = {key: str(value) for key, value in vars(arguments).items() if key not in ("json", "out", "workers")}
    write_json(arguments.json or arguments.out / "table.json", {"settings": settings, "variants": table})
    print_table(table)


if __name__ == "__main__":
    main(sys.argv[1:])
