"""Running one cell: its phases one after the other, each recorded when it is finished."""

import logging
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback

from growlm.bench.plan.cell import CELL_FILE, POOLED, STACK, Cell, PhasePlan
from growlm.bench.run.cost import peak_memory, phase_cost, reset_peak_memory
from growlm.bench.run.general import general_ability
from growlm.bench.run.points import SHARE, CurvePoints, with_points
from growlm.bench.run.result import CellResult, read_cell
from growlm.bench.run.trials import fresh_trial, recovery_trial
from growlm.data.encode import encode
from growlm.data.example import Split
from growlm.errors import GrowlmError
from growlm.files import folder_lock
from growlm.manifest.path import Path as StackPath
from growlm.manifest.path import format_path
from growlm.manifest.scores import MODES
from growlm.metrics.blimp import blimp
from growlm.metrics.references import reference_scores
from growlm.metrics.scoring import Answer, Score
from growlm.metrics.token_counter import TokenCounter
from growlm.progress import Advance
from growlm.registry import methods
from growlm.show.importance import importance_map, keeps_importance
from growlm.skills.metric import ASKS_NOTHING
from growlm.skills.skill import Skill
from growlm.stack.stack import ModuleStack
from growlm.terminal import counted
from growlm.train.config import BASE_SKILL, NO_ROUTER, PhaseConfig, current_names
from growlm.train.fit import fit_phase, new_trainer
from growlm.train.phase import GrowPhase
from growlm.train.result import Grown
from growlm.train.score_cache import ScoreCache

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bench:
    """Where and how cells are run; results do not depend on it, up to rounding.

    Args:
        out: folder of the results.
        accelerator: Lightning's accelerator.
        keep_stacks: keep the stack of a finished cell.
        split: the split that is scored; another than ``test`` for choosing hyperparameters.
    """

    out: Path
    accelerator: str = "auto"
    keep_stacks: bool = True
    split: Split = "test"


def earlier_result(cell: Cell, out: Path) -> CellResult | None:
    """Read what a cell has measured so far.

    Args:
        cell: the cell.
        out: folder of the results.

    Returns:
        Its result; None if there is none.

    Raises:
        GrowlmError: if it was measured with other settings, was edited or is damaged.
    """
    path = cell.folder(out) / CELL_FILE
    if not path.exists():
        return None
    result = read_cell(path)
    wanted = cell.settings()
    differing = sorted(key for key in {*wanted, *result.settings} if result.settings.get(key) != wanted.get(key))
    if differing:
        key = differing[0]
        raise GrowlmError(
            f"{path} was measured with other settings ({_change(key, result.settings.get(key), wanted.get(key))}): "
            f"give another --out, or remove {path.parent}"
        )
    return result


def run_cell(cell: Cell, bench: Bench, memory: ScoreCache, advance: Advance) -> CellResult:
    """Run the phases of a cell that are not finished.

    Args:
        cell: the cell.
        bench: where and how.
        memory: scores and data that the phases of this process share.
        advance: called once for each phase, also for those that were finished before.

    Returns:
        The result.

    Raises:
        GrowlmError: if the cell is in use, or was measured with other settings, or a phase cannot be run.
    """
    folder = cell.folder(bench.out)
    with folder_lock(folder):
        method = methods.build(cell.entry.method, cell.entry.options)
        result = earlier_result(cell, bench.out) or CellResult.new(cell.settings(), method.inference, cell.at_once)
        plans = list(cell.phases())

        def grow(plan: PhasePlan, stack: Path, *callbacks: Callback) -> Grown:
            return _grow(plan, stack, bench, memory, *callbacks)

        for number, plan in enumerate(plans, 1):
            if len(result.costs) >= number:
                advance()
                continue
            if number == 1 and cell.has_trials:
                result.fresh = [fresh_trial(cell, folder / STACK, 0, grow)]
            started = time.monotonic()
            reset_peak_memory()
            points = _points(cell, number, method.inference, memory)
            grown = grow(plan, folder / STACK, *([points] if points else []))
            if len(grown.stack.manifest.modules) != number:
                raise GrowlmError(
                    f"{folder / STACK} has {counted(len(grown.stack.manifest.modules), 'module')} after phase "
                    f"{number}: remove {folder} to measure again"
                )
            _record_phase(result, cell, grown, number, memory)
            seconds = time.monotonic() - started
            cost = phase_cost(grown.stack, plan.name, folder / STACK, seconds, peak_memory())
            result.costs.append(with_points(cost, points) if points else cost)
            if cell.has_trials:
                result.fresh.append(fresh_trial(cell, folder / STACK, number, grow))
            if number == len(plans):
                result.recovery = recovery_trial(cell, folder / STACK, grow) if cell.has_trials else {}
                _record_end(result, cell, grown.stack, memory)
            result.write(folder / CELL_FILE)
            if result.finished and not bench.keep_stacks:
                shutil.rmtree(folder / STACK)
            _logger.info("%s: %s (%d/%d), %.0f s", cell.name, plan.name, number, len(plans), seconds)
            advance()
    return result


def _grow(plan: PhasePlan, stack: Path, bench: Bench, memory: ScoreCache, *callbacks: Callback) -> Grown:
    config = PhaseConfig(stack=stack, **current_names(plan.arguments))
    trainer = new_trainer(max_steps=plan.steps, accelerator=bench.accelerator, devices=1, callbacks=list(callbacks))
    return fit_phase(GrowPhase(config, memory), trainer)


def _points(cell: Cell, number: int, mode: str, memory: ScoreCache) -> CurvePoints | None:
    """Return what scores skills in the middle of a phase, if that was asked for."""
    if not cell.measured.curve:
        return None
    names = cell.skills if cell.at_once else cell.skills[:number] if mode == "all" else cell.skills[number - 1 : number]
    skills = {name: _skill(cell, memory, name) for name in names}
    return CurvePoints(cell.measured.curve, skills, max(1, cell.phase["num_scored"] // SHARE))


def _record_phase(result: CellResult, cell: Cell, grown: Grown, number: int, memory: ScoreCache) -> None:
    """Record what was measured after a phase."""
    stack, record = grown.stack, grown.record
    last = len(result.skills)
    row = last if cell.at_once else number
    result.environment, result.base = record.environment, _base(stack)
    routing: list[float | None] = [None] * len(result.skills)
    for column, name in enumerate(result.skills):
        if cell.at_once:
            scores = _scores(cell, stack, memory, name, record.path)
            routing[column] = scores.get("routed", {}).get("routing_accuracy")
            _record_base(result, cell, stack, memory, name)
        elif name in record.scores:
            scores = record.scores[name]
            routing[column] = scores.get("routed", {}).get("routing_accuracy")
            if name == record.name:
                _record_base(result, cell, stack, memory, name, scores["base"])
        elif column < number and cell.scores_all_after(record.name):
            scores = _scores(cell, stack, memory, name, stack.path_of(name))
        elif cell.measured.matrix == "full":
            scores = _scores(cell, stack, memory, name, stack.manifest.current())
        else:
            continue
        for mode in MODES:
            if mode in scores:
                result.record(row, name, mode, scores[mode])
    result.routing.append(routing)
    stories = record.scores[BASE_SKILL]
    for mode in MODES:
        values = result.stories.setdefault(mode, [stories["base"]["value"]])
        values.append(stories.get(mode, {}).get("value"))
    skill = record.skill
    result.data[record.name] = {"train": skill["train_digest"], "test": skill["test_digest"]}


def _record_base(
    result: CellResult,
    cell: Cell,
    stack: ModuleStack,
    memory: ScoreCache,
    name: str,
    score: Mapping[str, Any] | None = None,
) -> None:
    """Record the bare base's score, which is the same in every mode."""
    if score is None:
        score = vars(memory.base_score(stack, _skill(cell, memory, name), cell.phase["num_scored"]))
    for mode in MODES:
        result.record(0, name, mode, dict(score))


def _record_end(result: CellResult, cell: Cell, stack: ModuleStack, memory: ScoreCache) -> None:
    """Record what is measured once, after the last phase."""
    num_scored = cell.phase["num_scored"]
    limit = max(1, num_scored // 2)  # there are several, and their mean is reported
    for name, needs in cell.stream.composites.items():
        skill = memory.skill(name, {}, cell.phase.get("metric"))
        own = {module for need in needs for module in stack.path_of(POOLED if cell.at_once else need)}
        path = tuple(module for module in stack.parents() if module in own)
        base = memory.base_score(stack, skill, limit)
        scores = memory.mode_scores(stack, skill, path, limit, _is_routed(cell), merged=True)
        result.composites[name] = {
            "base": base.value,
            **{mode: scores[mode]["value"] if mode in scores else None for mode in MODES},
        }
        _record_answers(result, cell, stack, memory, name, skill, path, limit)
    for name in result.skills:
        path, skill = stack.path_of(POOLED if cell.at_once else name), _skill(cell, memory, name)
        _record_answers(result, cell, stack, memory, name, skill, path, num_scored)
        result.references[name] = _references(cell, stack, memory, skill)
    if cell.measured.blimp is not None:
        result.blimp = _blimp(stack, Path(cell.measured.blimp), cell.phase["num_scored"], memory)
    if cell.measured.base_text and cell.measured.general:
        file = cell.phase.get("stories")
        stories = memory.skill(BASE_SKILL, {"file": file}) if file else None
        result.general = general_ability(stack, memory, stories, limit, _is_routed(cell))
    kept = stack.method_tensors(stack.manifest.modules[-1].name)
    if keeps_importance(kept):
        result.importance = asdict(importance_map(kept))
    result.finished = True


def _references(cell: Cell, stack: ModuleStack, memory: ScoreCache, skill: Skill) -> dict[str, float]:
    limit, tokenizer = cell.phase["num_scored"], stack.tokenizer

    def compute() -> dict[str, float]:
        if skill.metric != "token_accuracy":
            return reference_scores(skill, limit)
        max_length = cell.phase.get("max_length", PhaseConfig.max_length)
        counter = TokenCounter(memory.encoded(stack, skill, max_length))
        examples = islice(skill.examples("test"), limit)
        return {"blind": counter.accuracy(encode(example, tokenizer, sys.maxsize) for example in examples)}

    return memory.get_or_compute(("references", skill, limit), compute)


def _record_answers(
    result: CellResult,
    cell: Cell,
    stack: ModuleStack,
    memory: ScoreCache,
    name: str,
    skill: Skill,
    own: StackPath,
    limit: int,
) -> None:
    """Keep the answers behind a skill's last scores, by mode; the scores themselves are in the cache already."""
    if skill.metric in ASKS_NOTHING:
        return
    answers: dict[str, list[Answer]] = {}
    measured: dict[StackPath, Score] = {}
    for mode, path in (("oracle", own), ("all", stack.manifest.current())):
        with stack.active(*path):
            answers[mode] = list(memory.answers(stack, skill, limit))
            measured[path] = memory.score(stack, skill, limit)
    if _is_routed(cell):
        scored, routed = memory.routed(stack, skill, own, limit, measured)
        by_path = {format_path(own): answers["oracle"], format_path(stack.manifest.current()): answers["all"]}
        # where the router chose one path for all prompts, the answers are those of the path
        answers["routed"] = list(routed) or by_path[next(iter(scored.paths))]
    result.answers[name] = answers


def _blimp(stack: ModuleStack, folder: Path, limit: int | None, memory: ScoreCache) -> dict[str, float]:
    found: dict[str, float] = {}
    with stack.active():
        key = ("blimp", stack.manifest.base.digest, folder, limit)
        found["base"] = memory.get_or_compute(key, lambda: blimp(stack, stack.tokenizer, folder, limit=limit).accuracy)
    with stack.active(*stack.manifest.current()):
        found["all"] = blimp(stack, stack.tokenizer, folder, limit=limit).accuracy
    return found


def _scores(cell: Cell, stack: ModuleStack, memory: ScoreCache, name: str, path: StackPath) -> dict[str, Any]:
    skill = _skill(cell, memory, name)
    return memory.mode_scores(stack, skill, path, cell.phase["num_scored"], _is_routed(cell))


def _skill(cell: Cell, memory: ScoreCache, name: str) -> Any:
    asked = cell.stream.skills[name]
    return memory.skill(asked.skill, asked.options, cell.phase.get("metric"))


def _is_routed(cell: Cell) -> bool:
    return cell.phase.get("router") != NO_ROUTER


def _base(stack: ModuleStack) -> dict[str, Any]:
    base = stack.manifest.base
    return {"source": base.source, "digest": base.digest, "parameters": base.parameters}


def _change(key: str, before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        inner = sorted(k for k in {*before, *now} if before.get(k) != now.get(k))[0]
        return f"{key} {inner} {before.get(inner)!r}, now {now.get(inner)!r}"[:160]
    return f"{key} {before!r}, now {now!r}"[:160]
