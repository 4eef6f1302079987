"""Growing: attach, digest, fit, compare digests, freeze, score, save.

Every step can be repeated: a phase that was killed continues where its resume file is and ends in the same bits.
"""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from torch import nn

from growlm.base.load import DEFAULT_BASE
from growlm.data.encode import encode
from growlm.errors import GrowlmError, unknown_name
from growlm.files import combined_digest, folder_lock, read_json, require_disk_space, tensor_digests, write_json
from growlm.manifest import store
from growlm.manifest.card import accuracy_json, stack_card
from growlm.manifest.manifest import STACK_FILE, ModuleRecord
from growlm.manifest.path import BASE, format_path, parse_path
from growlm.manifest.path import Path as StackPath
from growlm.registry import routers
from growlm.routing.router import Router
from growlm.routing.router_file import router_files
from growlm.routing.update import SkillPrompts, next_router, unlearned_modules, update_router
from growlm.skills.skill import Skill
from growlm.stack.context import context_length
from growlm.stack.stack import ModuleStack
from growlm.train.environment import describe_environment
from growlm.train.phase import BASE_SKILL, GrowPhase
from growlm.train.resume import resume_path

_PHASE_FILE = "phase.json"
_BEFORE_FILE = "before.json"
NO_ROUTER = "none"
_BYTES_PER_TRAINED = 16  # value and two moments in fp32, and room for the module's own file

Fit = Callable[[Path | None], None]
Notice = Callable[[str], None]


@dataclass(frozen=True)
class Grown:
    """What a phase left behind.

    Args:
        stack: the stack with the new module, its path active.
        record: what the manifest says of the new module.
        frozen_tensors: how many frozen tensors were compared before and after.
        frozen_digest: one digest over all of them.
        already_there: the module had been grown with these settings before; nothing was done.
    """

    stack: ModuleStack
    record: ModuleRecord
    frozen_tensors: int
    frozen_digest: str
    already_there: bool = False


def grow_phase(phase: GrowPhase, fit: Fit, num_steps: int, notice: Notice) -> Grown:
    """Runs a phase from beginning to end, or from where it was interrupted.

    Args:
        phase: the phase.
        fit: trains the phase, from a resume file if one is given.
        num_steps: how many steps ``fit`` takes, recorded with the settings.
        notice: is told in a line what goes on.

    Returns:
        The grown stack.

    Raises:
        GrowlmError: if the stack is in use, damaged or on another base, the name is taken, another unfinished phase
            is in the way, the disk is too full, or the phase moved a frozen tensor (which would be a bug).
    """
    if num_steps < 1:
        raise GrowlmError(f"{num_steps} steps are too few: give 1 or more")
    with folder_lock(phase.folder):
        store.recover(phase.folder)
        stack = _open_stack(phase)
        settings = {**phase.settings, "steps": num_steps}
        if phase.name in stack.parents():
            return _already_there(stack, phase, settings)
        on = phase.method.grow_on(stack, _asked_path(stack, phase.on))
        # whatever may be wrong with the request is found before anything is written
        known = _known_skills(phase, stack)
        phase.begin(stack, on)
        _check_scored(phase, stack, known)
        routing = _prepare_router(phase, stack, known)
        size = sum(parameter.numel() for parameter in phase.trained.values())
        require_disk_space(phase.folder, size * _BYTES_PER_TRAINED)
        work = _open_work(phase, stack, settings)
        if phase.num_truncated:
            many = f"{phase.num_truncated:,} of {len(phase.batches.examples):,} examples"
            notice(f"{many} are longer than max_length: their prompts are cut, in training alone")
        notice(f"module {phase.name!r}: {size:,} new parameters on {format_path(on)}, everything else frozen")
        before = _scores_before(phase, stack, known, work, notice)
        try:
            fit(resume_path(work))
        finally:
            stack.unmerge()
        nn.Module.to(stack, stack.device)  # where the base is: Lightning takes the trained tensors alone to the CPU
        num_frozen = stack.verify()
        frozen_digest = combined_digest(tensor_digests(stack.frozen_tensors()))
        kept = phase.method.end(stack, phase.batches)
        stack.freeze(replace(_record(phase, stack, on, settings), method_tensors=tensor_digests(kept)), kept)
        if routing is not None:
            notice("training the router")
            update_router(stack, *routing)
        record = _scored(phase, stack, known, before, notice)
        manifest = stack.manifest
        files: store.Files = {
            **router_files(stack.router, manifest),
            "README.md": stack_card(manifest),
            "accuracy.json": accuracy_json(manifest),
        }
        store.commit(phase.folder, manifest, stack.config, stack.module_tensors(phase.name), kept, files)
        shutil.rmtree(work)
    return Grown(stack, record, num_frozen, frozen_digest)


def _open_stack(phase: GrowPhase) -> ModuleStack:
    if (phase.folder / STACK_FILE).exists():
        return ModuleStack.from_pretrained(phase.folder, base=phase.base)
    return ModuleStack.from_base(phase.base or DEFAULT_BASE).eval()


def _asked_path(stack: ModuleStack, on: str) -> StackPath:
    if on == "all":
        return stack.manifest.current()
    return () if on == "none" else parse_path(on, stack.parents())


def _already_there(stack: ModuleStack, phase: GrowPhase, settings: dict[str, Any]) -> Grown:
    record = next(record for record in stack.manifest.modules if record.name == phase.name)
    changed = _difference(record.recipe, settings)
    if changed:
        raise GrowlmError(
            f"{phase.folder} has a module {phase.name!r} already, grown with other settings ({changed}): undo it first "
            "(growlm undo), or give another --name"
        )
    shutil.rmtree(phase.folder / store.WORK, ignore_errors=True)
    stack.set_path(record.path)
    frozen = stack.frozen_tensors()
    return Grown(stack, record, len(frozen), combined_digest(tensor_digests(frozen)), already_there=True)


def _open_work(phase: GrowPhase, stack: ModuleStack, settings: dict[str, Any]) -> Path:
    """Makes the folder of an unfinished phase, or finds it again if it is this phase's."""
    work = phase.folder / store.WORK
    identity = {
        "settings": settings,
        "stack": [record.digest for record in stack.manifest.modules],
        "base": stack.manifest.base.digest,
        "data": phase.memory.digest(phase.skill, "train"),
    }
    if not (phase.folder / STACK_FILE).exists():
        store.begin(phase.folder, stack.manifest, stack.config)
    if phase.restart:
        shutil.rmtree(work, ignore_errors=True)
    if (work / _PHASE_FILE).exists():
        there = read_json(work / _PHASE_FILE)
        changed = _difference(there.get("settings", {}), settings) or _difference(there, identity)
        if changed:
            raise GrowlmError(
                f"an unfinished phase with other settings is in {work} ({changed}): run it again as it was to finish "
                "it, or discard it with --restart true"
            )
    else:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        write_json(work / _PHASE_FILE, identity)
    return work


def _difference(there: dict[str, Any], now: dict[str, Any]) -> str:
    changed = sorted(key for key in {*there, *now} if there.get(key) != now.get(key))
    return ", ".join(f"{key} {there.get(key)!r}, now {now.get(key)!r}"[:120] for key in changed)


def _record(phase: GrowPhase, stack: ModuleStack, on: StackPath, settings: dict[str, Any]) -> ModuleRecord:
    tensors = tensor_digests(stack.module_tensors(phase.name))
    return ModuleRecord(
        name=phase.name,
        kinds={kind: options.options() for kind, options in phase.kinds.items()},
        parents=on,
        skill={
            "name": phase.skill_name,
            "options": phase.settings["skill_options"],
            "train_digest": phase.memory.digest(phase.skill, "train"),
            "test_digest": phase.memory.digest(phase.skill, "test"),
        },
        method={"name": phase.settings["method"], "options": phase.settings["method_options"]},
        seed=phase.seed,
        recipe=settings,
        parameters=sum(parameter.numel() for parameter in phase.trained.values()),
        tensors=tensors,
        digest=combined_digest(tensors),
        cost=_cost(phase, settings),
        environment=describe_environment(),
        supersedes=(phase.continues,) if phase.continues else (),
    )


def _cost(phase: GrowPhase, settings: dict[str, Any]) -> dict[str, Any]:
    """Tells what the phase took; rows and tokens are those of all batches, replayed ones included."""
    return {
        "steps": settings["steps"],
        "tokens": phase.tokens_seen,
        "seconds": round(phase.seconds, 1),
        "rows": phase.rows_seen + phase.method.extra_forward_rows,
        "losses": [list(point) for point in phase.curve.points],
        "old rows": phase.method.replayed_rows,
        "trained": sum(parameter.numel() for parameter in phase.trained.values() if parameter.requires_grad),
        **({"cut prompts": phase.num_truncated} if phase.num_truncated else {}),
    }


def _known_skills(phase: GrowPhase, stack: ModuleStack) -> dict[str, Skill]:
    """Builds every skill that is scored: the base's, those of the modules there are, and the new one."""
    stories = phase.settings["stories"]
    earlier = {  # each by what it was scored by before: a column of the accuracy matrix has one metric
        record.name: phase.memory.skill(record.skill["name"], record.skill["options"], record.recipe.get("metric"))
        for record in stack.manifest.modules
    }
    return {
        BASE_SKILL: phase.memory.skill(BASE_SKILL, {"file": stories} if stories else {}),
        **earlier,
        phase.name: phase.skill,
    }


def _check_scored(phase: GrowPhase, stack: ModuleStack, known: dict[str, Skill]) -> None:
    """Refuses an example that could not be scored now rather than after the training."""
    for skill in known.values():
        for example in islice(skill.examples("test"), phase.settings["num_scored"]):
            encode(example, stack.tokenizer, context_length(stack))


def _prepare_router(
    phase: GrowPhase, stack: ModuleStack, known: dict[str, Skill]
) -> tuple[Router, dict[str, SkillPrompts]] | None:
    """Return what the router is going to be trained on; what could be refused then is refused now."""
    if phase.settings["router"] == NO_ROUTER:
        return None
    if phase.settings["router"] not in routers:
        raise unknown_name("router", phase.settings["router"], [*routers, NO_ROUTER])
    router = next_router(stack, phase.settings["router"], phase.settings["router_options"])
    training_prompts = {
        BASE if name == BASE_SKILL else name: phase.memory.prompts(stack, skill) for name, skill in known.items()
    }
    for name in unlearned_modules(stack, router, phase.name):
        router.check(stack, name, training_prompts[name])
    return router, training_prompts


def _scores_before(
    phase: GrowPhase, stack: ModuleStack, known: dict[str, Skill], work: Path, notice: Notice
) -> dict[str, Any]:
    """Scores the bare base, and keeps the scores for a resumed phase."""
    file = work / _BEFORE_FILE
    if file.exists():
        return dict(read_json(file))
    scores: dict[str, Any] = {}
    for name in (BASE_SKILL, phase.name):
        notice(f"scoring {name} on the bare base")
        with stack.active():
            scores[name] = asdict(phase.memory.score(stack, known[name], phase.settings["num_scored"]))
    write_json(file, scores)
    return scores


def _scored(
    phase: GrowPhase, stack: ModuleStack, known: dict[str, Skill], before: dict[str, Any], notice: Notice
) -> ModuleRecord:
    """Scores the known skills with the new module in place and writes that into its record."""
    base_scores = {record.name: record.scores[record.name]["base"] for record in stack.manifest.modules[:-1]} | before
    scores: dict[str, Any] = {}
    limit = phase.settings["num_scored"]
    for name, skill in known.items():
        if name not in before and not phase.settings["rescore"]:
            continue
        path = () if name == BASE_SKILL else stack.path_of(name)
        notice(f"scoring {name} on its own path, on the whole stack and routed")
        routed = phase.settings["router"] != NO_ROUTER
        scores[name] = {"base": base_scores[name], **phase.memory.mode_scores(stack, skill, path, limit, routed)}
    *earlier, last = stack.manifest.modules
    record = replace(last, scores=scores)
    stack.manifest = replace(stack.manifest, modules=(*earlier, record))
    return record
