"""Whether skills that were learned apart combine: what composite skills score by every way to use the modules.

``python benchmarks/composition.py results/six-skills-mini`` measures the stacks of a finished benchmark (``growlm
bench --stream six-skills --base mini --entries modules``, stacks kept): one whose modules were all grown on the bare
base (entry ``--alone``), one whose modules were grown one on another (``--grown``; null leaves it out), and the
yardstick, one model trained on all skills at once (``--joint``). ``python benchmarks/composition.py
checkpoints/skills-mini --out results/composition.json`` measures one stack by the columns of ``--alone``, each module
with what it was grown on, without a yardstick. Run again, it resumes. For every skill and composite skill, scored by
whole answers (greedy decoding) or by ``--metric token_accuracy``:

- ``base``: the bare base, and, of a composite, ``single``: the best of the modules grown alone, whatever its skill;
- ``sum_parts``: the modules of the composite's parts, grown alone, switched on together, and ``sum``: all of them;
  with ``--scales 0.7``, ``sum_parts x 0.7``: the same, what each of them changes multiplied by so much;
- ``fused_parts``: the same modules fused (``growlm/merging/fuse.py``), and ``fused``: all of them;
- ``stack_parts``: the path of the parts in ``grown``, ``stack_fused_parts``: the parts' paths fused, ``stack``: all its
  modules, and ``stack_fused``: the paths of all skills fused;
- ``joint``: the yardstick; (column - base) / (joint - base) is the share of it that is reached.

A composite that ``single`` solves to 80 % of ``joint`` is none, and is flagged; so is one that ``joint`` does not solve
to well above ``base``, of which nothing can be concluded. The mean share is that of the composites without a flag.
"""

import json
import math
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jsonargparse import auto_cli

from growlm.bench.plan.cell import CELL_FILE, CELLS, POOLED, STACK
from growlm.bench.run.result import CellResult, read_cell
from growlm.errors import GrowlmError
from growlm.files import read_json, write_json
from growlm.manifest.manifest import STACK_FILE, read_manifest
from growlm.manifest.path import joint_path
from growlm.merging.fuse import Moments
from growlm.merging.moments import path_moments
from growlm.metrics.scoring import score
from growlm.modules.embedding import EmbeddingPart
from growlm.modules.lora import LoraPart
from growlm.registry import skills as registered
from growlm.skills.composites import Composite
from growlm.skills.metric import Metric
from growlm.stack.stack import ModuleStack

SINGLE_SHARE = 0.8
LEAST_GAIN = 0.1
ALONE = "alone "

Cells = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Settings:
    """What a file of scores depends on, but for the stacks, whose digests are stored beside the scores."""

    alone: str
    grown: str | None
    joint: str | None
    num_test: int
    metric: Metric | None
    scales: list[float]


@dataclass(frozen=True)
class Way:
    """One way to use the modules.

    Args:
        where: the stack.
        names: the modules, with what they were grown on.
        scale: what every module's change is multiplied by.
        fused: whether their paths are fused rather than added up.
    """

    where: str
    names: tuple[str, ...]
    scale: float = 1.0
    fused: bool = False


@dataclass(frozen=True)
class Seed:
    """The cells of one seed.

    Args:
        stacks: by column group (``alone``, ``grown``, ``joint``), the stack's folder.
        skills: names of the single skills, each with the skill and its options.
        composites: for each composite skill, its parts.
        base: the base.
    """

    stacks: dict[str, Path]
    skills: dict[str, dict[str, Any]]
    composites: dict[str, tuple[str, ...]]
    base: str

    def measure(self, cells: Cells, settings: Settings, columns: Sequence[str]) -> Iterator[str]:
        """Score every skill and composite by every column; what is there already is kept.

        Args:
            cells: the scores by skill and column; they are entered here.
            settings: how.
            columns: which columns; none: all.

        Yields:
            What has been scored, after each score.
        """
        loaded: dict[str, ModuleStack] = {}
        moments: dict[str, Moments] = {}
        for name, parts in {**{skill: (skill,) for skill in self.skills}, **self.composites}.items():
            row = cells.setdefault(name, {})
            known = self.skills.get(name, {"skill": name, "options": self.difficulty()})
            skill = registered.build(known["skill"], {**known["options"], "num_test": settings.num_test})
            skill = skill if settings.metric is None else skill.scored_by(settings.metric)
            for column, way in self.ways(parts, settings.scales).items():
                asked = "single" if column.startswith(ALONE) else column
                if column in row or (columns and asked not in columns):
                    continue
                if way.where not in loaded:
                    loaded[way.where] = ModuleStack.from_pretrained(self.stacks[way.where], base=self.base)
                stack = loaded[way.where]
                if way.fused:
                    if way.where not in moments:
                        moments[way.where] = path_moments(stack, self.skills)
                    with stack.fused(*way.names, moments=moments[way.where]):
                        row[column] = score(stack, skill).value
                else:
                    with stack.active(*joint_path(way.names, stack.parents())), scaled(stack, way.scale):
                        row[column] = score(stack, skill).value
                yield f"{name} by {column}"

    def difficulty(self) -> dict[str, float]:
        """Return the difficulty of the skills, which is that of the composites, too."""
        found = {skill["options"].get("difficulty") for skill in self.skills.values()}
        if len(found) > 1:
            raise GrowlmError(
                f"the benchmark's skills have several difficulties ({found}): composites need a single one"
            )
        (difficulty,) = found
        return {} if difficulty is None else {"difficulty": difficulty}

    def digests(self) -> dict[str, dict[str, str]]:
        """Return the digests of the stacks' modules."""
        manifests = {where: read_manifest(folder) for where, folder in self.stacks.items()}
        return {where: {record.name: record.digest for record in each.modules} for where, each in manifests.items()}

    def ways(self, parts: tuple[str, ...], scales: Sequence[float]) -> dict[str, Way]:
        """Return, for each column of a composite, the way to use the modules."""
        skills = tuple(self.skills)
        columns = {"base": Way("alone", ())}
        for name in skills if len(parts) > 1 else ():
            columns[ALONE + name] = Way("alone", (name,))
        for scale in scales:
            columns[f"sum_parts x {scale:g}"] = Way("alone", parts, scale)
        for prefix, where in (("", "alone"), ("stack_", "grown")):
            if where in self.stacks:
                columns[f"{prefix or 'sum_'}parts"] = Way(where, parts)
                columns[f"{prefix}fused_parts"] = Way(where, parts, fused=True)
                columns["stack" if prefix else "sum"] = Way(where, skills)
                columns[f"{prefix}fused"] = Way(where, skills, fused=True)
        if "joint" in self.stacks:
            columns["joint"] = Way("joint", (POOLED,))
        return columns


@contextmanager
def scaled(stack: ModuleStack, scale: float) -> Iterator[None]:
    """Multiply what all modules change, and let every site run their sum as one, for a ``with`` block."""
    before: dict[LoraPart | EmbeddingPart, float] = {}
    for part in (part for site in stack.sites().values() for part in site.parts.values() if scale != 1):
        if not isinstance(part, LoraPart | EmbeddingPart):
            raise GrowlmError("--scales needs modules of the kinds lora and embedding, without the output embedding")
        before[part] = part.scale
    for part in before:
        part.scale *= scale
    try:
        with stack.frozen_merged():
            yield
    finally:
        for part, own in before.items():
            part.scale = own


def main(
    results: Path,
    alone: str = "lora-embedding-on-none",
    grown: str | None = "lora-embedding",
    joint: str = "joint",
    num_test: int = 50,
    metric: Metric | None = None,
    scales: tuple[float, ...] = (),
    columns: tuple[str, ...] = (),
    out: Path | None = None,
) -> None:
    """Score the stacks, write what was measured, and print a table.

    Args:
        results: folder of a benchmark, or of a stack, which has no entries.
        alone: entry whose modules were grown on the bare base.
        grown: entry whose modules were grown one on another; null: none.
        joint: entry that was trained on all skills at once.
        num_test: test examples of each skill and composite.
        metric: what they are scored by; left out: whole answers, each skill by its own metric.
        scales: what modules that are switched on together are multiplied by, besides 1.
        columns: only these columns, of a benchmark ``base`` and ``joint`` among them; left out: all.
        out: file of the results; left out: ``composition-<metric>.json`` in the folder of the benchmark.
    """
    of_stack = (results / STACK_FILE).exists()
    if columns and not of_stack and not {"base", "joint"} <= set(columns):
        raise GrowlmError(f"--columns {list(columns)}: shares need the columns base and joint")
    if of_stack and out is None:
        raise GrowlmError(f"{results} is a stack, which keeps no results: give their file with --out")
    entries: tuple[str, str | None, str | None] = (str(results), None, None) if of_stack else (alone, grown, joint)
    settings = Settings(*entries, num_test, metric, list(scales))
    file = out or results / f"composition-{metric or 'answers'}.json"
    kept: dict[str, Any] = read_json(file) if file.exists() else {"settings": asdict(settings), "seeds": {}}
    if kept["settings"] != asdict(settings):
        raise GrowlmError(f"{file} was measured with other settings ({json.dumps(kept['settings'])}): remove it")
    seeds = {"0": seed_of_stack(results)} if of_stack else find_seeds(results, settings)
    for number, seed in seeds.items():
        measured = kept["seeds"].setdefault(number, {"modules": seed.digests(), "scores": {}})
        if measured["modules"] != seed.digests():
            raise GrowlmError(f"{file} was measured on other stacks of seed {number}: remove it")
        for scored in seed.measure(measured["scores"], settings, columns):
            write_json(file, kept)
            sys.stderr.write(f"seed {number}: {scored}\n")
    by_seed = {number: measured["scores"] for number, measured in kept["seeds"].items()}
    kept["summary"] = summary(by_seed, next(iter(seeds.values())).composites)
    write_json(file, kept)
    sys.stdout.write(table(kept["summary"]))


def seed_of_stack(folder: Path) -> Seed:
    """Return a stack's own skills and the composites that need no other, as the only seed."""
    manifest = read_manifest(folder)
    skills = {record.name: {**record.skill, "skill": record.skill["name"]} for record in manifest.modules}
    known = {name: registered.get(name) for name in registered}
    composites = {name: kind.parts for name, kind in known.items() if issubclass(kind, Composite)}
    return Seed(
        stacks={"alone": folder},
        skills=skills,
        composites={name: parts for name, parts in composites.items() if set(parts) <= skills.keys()},
        base=manifest.base.source,
    )


def find_seeds(results: Path, settings: Settings) -> dict[str, Seed]:
    """Find the seeds of which every cell that is asked for is finished and has its stack.

    Args:
        results: folder of a benchmark.
        settings: which entries.

    Returns:
        The seeds by number.

    Raises:
        GrowlmError: if there is none, an entry has several orders, or the benchmark has no composites.
    """
    wanted = {"alone": settings.alone, "grown": settings.grown, "joint": settings.joint}
    entries = {where: label for where, label in wanted.items() if label is not None}
    found: dict[str, dict[str, tuple[Path, CellResult]]] = {}
    for where, label in entries.items():
        for file in sorted((results / CELLS / label).glob(f"*/*/{CELL_FILE}")):
            result = read_cell(file)
            if result.finished and (file.parent / STACK).is_dir():
                cells = found.setdefault(str(result.settings["seed"]), {})
                if where in cells:
                    raise GrowlmError(f"{results} has {label!r} in several orders: give the folder of a single one")
                cells[where] = (file.parent / STACK, result)
    whole = {number: cells for number, cells in sorted(found.items()) if cells.keys() == entries.keys()}
    if not whole:
        raise GrowlmError(
            f"{results} has no seed whose cells of {', '.join(entries.values())} are finished, with stacks"
        )
    seeds = {}
    for number, cells in whole.items():
        asked = cells["alone"][1].settings
        if not asked["composites"]:
            raise GrowlmError(f"stream {asked['stream']!r} of {results} has no composite skills")
        seeds[number] = Seed(
            stacks={where: stack for where, (stack, _) in cells.items()},
            skills={skill["name"]: skill for skill in asked["skills"]},
            composites={name: tuple(parts) for name, parts in asked["composites"].items()},
            base=asked["base"],
        )
    return seeds


def summary(by_seed: Mapping[str, Cells], composites: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, Any]]:
    """Return means over the seeds, shares of what joint training gains, and flags.

    Args:
        by_seed: for each seed, the scores by skill and column.
        composites: for each composite, its parts.

    Returns:
        For each skill: the columns' means (``scores``), their ``shares``, ``best`` (the skill whose module alone is
        best), ``flags``, and the ``spread`` over the seeds.
    """
    results: dict[str, dict[str, Any]] = {}
    for name in next(iter(by_seed.values())):
        rows = [cells[name] for cells in by_seed.values()]
        means = {column: statistics.fmean(row[column] for row in rows) for column in rows[0]}
        alone = {column: value for column, value in means.items() if column.startswith(ALONE)}
        best = max(alone, key=lambda column: alone[column], default="")
        if best:
            means["single"] = alone[best]
        gain = means.get("joint", math.nan) - means.get("base", math.nan)
        columns = {column: value for column, value in means.items() if column not in alone}
        flags = []
        if name in composites and gain < LEAST_GAIN:
            flags.append("joint does not solve it")
        elif name in composites and best and "joint" in means and means["single"] >= SINGLE_SHARE * means["joint"]:
            flags.append("one skill suffices")
        results[name] = {
            "scores": columns,
            "best": best.removeprefix(ALONE) if means.get("single") else "",
            "shares": {column: (value - means["base"]) / gain for column, value in columns.items() if gain > 0},
            "flags": flags,
            "composite": name in composites,
            "spread": {column: statistics.stdev(row[column] for row in rows) for column in rows[0] if len(rows) > 1},
        }
    return results


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the scores in percent, and the mean share of joint training's gain over the composites without a flag."""
    columns = list(dict.fromkeys(column for row in results.values() for column in row["scores"]))
    lines = [f"{'skill':24}" + "".join(f"{column:>18}" for column in columns) + "  best single"]
    for name, row in results.items():
        scores = row["scores"]
        cells = "".join(f"{100 * scores[key]:18.1f}" if key in scores else f"{'':18}" for key in columns)
        lines.append(f"{name:24}{cells}  {row['best']} {'; '.join(row['flags'])}")
    measured = [row for row in results.values() if row["composite"] and row["shares"] and not row["flags"]]
    if measured:
        shares = [statistics.fmean(row["shares"].get(column, 0.0) for row in measured) for column in columns]
        lines.append(f"{'share of joint gain':24}" + "".join(f"{share:18.2f}" for share in shares))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    auto_cli(main)
