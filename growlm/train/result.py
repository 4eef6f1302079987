"""The last part of a phase: prove that nothing frozen moved, freeze the new module, score every skill, and commit."""

import logging
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from growlm.errors import GrowlmError
from growlm.files import combined_digest, read_json, tensor_digests, write_json
from growlm.manifest import store
from growlm.manifest.manifest import ModuleRecord
from growlm.manifest.path import format_path
from growlm.manifest.recorded_skill import keep_data, portable
from growlm.routing.update import update_router
from growlm.stack.stack import ModuleStack
from growlm.train.config import BASE_SKILL
from growlm.train.machine import describe_environment
from growlm.train.prepare import Prepared
from growlm.train.score_cache import ScoreCache

_BEFORE_FILE = "before.json"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """What a training took.

    Args:
        steps: optimizer steps.
        tokens: tokens of this process's batches without padding, replayed ones included.
        rows: rows of these batches, replayed ones included.
        seconds: time, before interruptions included.
        losses: mean loss of each twentieth of the steps, with the step that it ends with.
        validation: losses on the validation split, with the steps that they were measured after.
        others: what the other processes have counted, as ``processes.OtherProcesses`` has it.
    """

    steps: int
    tokens: int
    rows: int
    seconds: float
    losses: tuple[tuple[int, float], ...]
    validation: tuple[tuple[int, float], ...] = ()
    others: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class Grown:
    """The result of a phase.

    Args:
        stack: the stack with the new module, its path active.
        record: the manifest's record of the new module.
        frozen_tensors: number of frozen tensors that were compared before and after.
        frozen_digest: one digest over all of them.
        method_tensors: what the method keeps for later phases.
        already_there: the module had been grown with these settings before; nothing was done.
    """

    stack: ModuleStack
    record: ModuleRecord
    frozen_tensors: int
    frozen_digest: str
    method_tensors: Mapping[str, Tensor]
    already_there: bool = False


def scores_before(prepared: Prepared, cache: ScoreCache) -> dict[str, Any]:
    """Score the base's own skill and the new one on the bare base, once for a phase and its resumptions."""
    file = prepared.work / _BEFORE_FILE
    if file.exists():
        return dict(read_json(file))
    scores: dict[str, Any] = {}
    for name in (BASE_SKILL, prepared.config.module):
        _logger.info("scoring %s on the bare base", name)
        skill = prepared.scored[name]
        scores[name] = asdict(cache.base_score(prepared.stack, skill, prepared.config.num_scored))
    write_json(file, scores)
    return scores


def freeze_and_score(prepared: Prepared, training: Training, before: Mapping[str, Any], cache: ScoreCache) -> Grown:
    """Prove that nothing frozen moved, freeze the module, teach the router, and score all skills.

    Args:
        prepared: the phase, trained.
        training: what the training took.
        before: scores of the bare base.
        cache: what the phase shares with others.

    Returns:
        The result, not on disk yet.

    Raises:
        GrowlmError: if a frozen tensor moved (which would be a bug) or a trained one is not finite.
    """
    stack, config = prepared.stack, prepared.config
    check_finite(prepared, training.steps)
    num_frozen = stack.verify()
    frozen_digest = combined_digest(tensor_digests(stack.frozen_tensors()))
    kept = prepared.method.end(stack, prepared.batches)
    record = _record(prepared, training, cache)
    stack.freeze(replace(record, method_tensors=tensor_digests(kept)), kept)
    if prepared.routing is not None:
        _logger.info("training the router")
        update_router(stack, *prepared.routing)
    record = _with_scores(prepared, before, cache)
    _warn_of_loss(config.module, record.scores[config.module], prepared.method.trains)
    if training.steps < prepared.settings["steps"]:
        _logger.warning(
            "the training ended early, after %d of %d steps: the module is as it was then, and recorded so",
            training.steps,
            prepared.settings["steps"],
        )
    return Grown(stack, record, num_frozen, frozen_digest, kept)


def check_finite(prepared: Prepared, step: int) -> None:
    """Refuse a trained tensor with a value that is not finite.

    Raises:
        GrowlmError: naming the first one.
    """
    for name, tensor in prepared.trained.items():
        if not torch.isfinite(tensor).all():
            raise diverged(f"tensor {name!r} has values that are not finite", step, prepared.config.learning_rate)


def diverged(what: str, step: int, learning_rate: float) -> GrowlmError:
    """Build the error for a training whose numbers are not finite any more."""
    return GrowlmError(
        f"the training diverged at step {step}: {what}; nothing is committed, the state of the last good step is kept: "
        f"run it again with a learning_rate below {learning_rate:g} and --restart true"
    )


def _record(prepared: Prepared, training: Training, cache: ScoreCache) -> ModuleRecord:
    config, tensors = prepared.config, tensor_digests(prepared.stack.module_tensors(prepared.config.module))
    return ModuleRecord(
        name=config.module,
        kinds={kind: options.options() for kind, options in prepared.kinds.items()},
        parents=prepared.parents,
        skill={
            "name": config.skill,
            "options": portable(config.skill_options),
            "train_digest": cache.digest(prepared.skill, "train"),
            "test_digest": cache.digest(prepared.skill, "test"),
        },
        method={"name": config.method, "options": config.method_options},
        seed=config.seed,
        recipe=prepared.settings,
        parameters=prepared.num_parameters,
        tensors=tensors,
        digest=combined_digest(tensors),
        cost=_cost(prepared, training),
        environment=describe_environment(),
        supersedes=(prepared.continues,) if prepared.continues else (),
    )


def _cost(prepared: Prepared, training: Training) -> dict[str, Any]:
    counted = {"tokens": training.tokens, "rows": training.rows}
    counted |= {name: getattr(prepared.method, name) for name in ("replayed_rows", "extra_forward_rows")}
    total = {name: count + training.others.get(name, 0) for name, count in counted.items()}
    return {
        "steps": training.steps,
        "tokens": total["tokens"],
        "seconds": round(training.seconds, 1),
        "rows": total["rows"] + total["extra_forward_rows"],
        "losses": [list(point) for point in training.losses],
        "replayed_rows": total["replayed_rows"],
        "extra_forward_rows": total["extra_forward_rows"],
        "generated_rows": prepared.method.generated_rows,
        "kept_rows": prepared.method.kept_rows,
        "trained": sum(value.numel() for value in prepared.trained.values() if value.requires_grad),
        **({"validation": [list(point) for point in training.validation]} if training.validation else {}),
        **({"num_truncated": prepared.num_truncated} if prepared.num_truncated else {}),
    }


def _with_scores(prepared: Prepared, before: Mapping[str, Any], cache: ScoreCache) -> ModuleRecord:
    """Score the skills with the new module in place and write that into its record."""
    stack, config = prepared.stack, prepared.config
    earlier = {record.name: record.scores[record.name] for record in stack.manifest.modules[:-1] if record.skill}
    bare = {name: scores["base"] for name, scores in earlier.items()} | dict(before)
    scores: dict[str, Any] = {}
    for name, skill in prepared.scored.items():
        if name != config.module and not config.rescore:
            if name == BASE_SKILL:
                scores[name] = {"base": bare[name]}
            continue
        path = () if name == BASE_SKILL else stack.path_of(name)
        _logger.info("scoring %s on its own path, on the whole stack and routed", name)
        modes = cache.mode_scores(stack, skill, path, config.num_scored, prepared.routing is not None)
        scores[name] = {"base": bare[name], **modes}
    *others, last = stack.manifest.modules
    record = replace(last, scores=scores)
    stack.manifest = replace(stack.manifest, modules=(*others, record))
    return record


def _warn_of_loss(name: str, scores: Mapping[str, Any], trained: bool) -> None:
    """Say so if a path answers its own skill worse than the bare base does."""
    own, bare = scores["oracle"]["loss"], scores["base"]["loss"]
    if not own <= bare or not math.isfinite(own):
        _logger.warning(
            "%s ends worse than the bare base: loss %.3f against %.3f per token on held-out examples; take it off with "
            "growlm undo, and try %s",
            format_path((name,)),
            own,
            bare,
            "a lower learning rate or more steps" if trained else "another base or method",
        )


def commit(prepared: Prepared, grown: Grown) -> None:
    """Add the module to the folder in one step, then remove the work folder.

    Raises:
        GrowlmError: if the disk is too full.
    """
    stack, manifest = grown.stack, grown.stack.manifest
    files = stack.top_files(manifest)
    tensors = stack.module_tensors(grown.record.name)
    keep_data(grown.record, prepared.config.skill_options)
    store.commit(prepared.config.stack, manifest, stack.config, tensors, grown.method_tensors, files)
    shutil.rmtree(prepared.work)
