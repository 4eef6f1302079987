"""The first part of a phase: everything that may be wrong with a request is found here, before anything is written."""

import logging
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch
from torch import Tensor, nn

from growlm.base.architecture import has_plain_attention
from growlm.base.embedding_rows import groups_of_twins
from growlm.base.load import DEFAULT_BASE
from growlm.data.batches import StepBatches
from growlm.data.encode import encode
from growlm.errors import GrowlmError, unknown_name
from growlm.files import read_json, require_disk_space, write_json
from growlm.manifest import store
from growlm.manifest.manifest import STACK_FILE, ModuleRecord
from growlm.manifest.path import BASE, parse_path
from growlm.manifest.path import Path as StackPath
from growlm.manifest.records import data_problem
from growlm.methods.method import Method
from growlm.modules.kind import ModuleKind
from growlm.modules.site import part_kind, part_owner
from growlm.registry import methods, module_kinds, routers
from growlm.routing.router import Router
from growlm.routing.update import SkillPrompts, next_router, unlearned_modules
from growlm.skills.skill import Skill
from growlm.stack.layer_split import lowest_layer
from growlm.stack.stack import ModuleStack
from growlm.terminal import counted
from growlm.train.config import BASE_SKILL, NO_ROUTER, PhaseConfig, difference
from growlm.train.score_cache import ScoreCache

_logger = logging.getLogger(__name__)
PHASE_FILE = "phase.json"
_ROW_LENGTH = 128
_BYTES_PER_TRAINED = 16  # value and two moments in fp32, and room for the module's own file


@dataclass(frozen=True)
class Prepared:
    """A phase that is ready to be trained.

    Args:
        config: its options.
        settings: what its result is a function of, recorded in the manifest.
        stack: the stack, with the new module attached and its path active.
        parents: the path that the module grows on.
        method: the method.
        kinds: the kinds of the new module by name.
        continues: the module whose values the new one begins with, if there is one.
        skill: the skill that is learned.
        scored: every skill that is scored, by the name of its module.
        batches: the training examples and their order.
        trained: the new module's parameters; those that the method trains require a gradient.
        routing: the router that learns the new module, and the prompts of each skill; None: the router stays.
        work: folder of what an interrupted phase needs to go on.
    """

    config: PhaseConfig
    settings: dict[str, Any]
    stack: ModuleStack
    parents: StackPath
    method: Method
    kinds: dict[str, ModuleKind]
    continues: str | None
    skill: Skill
    scored: dict[str, Skill]
    batches: StepBatches
    trained: dict[str, nn.Parameter]
    routing: tuple[Router, dict[str, SkillPrompts]] | None
    work: Path

    @property
    def num_truncated(self) -> int:
        """Number of examples whose prompts are cut because they are longer than ``max_length`` or the context."""
        return sum(example.cut > 0 for example in self.batches.examples)

    @property
    def answer_twins(self) -> list[list[int]]:
        """Groups of answer tokens that the head cannot tell apart; none where a module on the path changes the head."""
        architecture = self.stack.architecture
        output = architecture.embeddings()[1]
        site = self.stack.sites().get(output)
        changed = {part_owner(key) for key in site.parts} if site else set[str]()
        if changed & {*self.parents, self.config.module}:
            return []
        tokens = {
            token
            for example in self.batches.examples
            for token, trained in zip(example.input_ids, example.trained, strict=True)
            if trained
        }
        return groups_of_twins(cast(Tensor, architecture.resolve(output).weight), sorted(tokens))

    @property
    def num_parameters(self) -> int:
        """Number of the new module's parameters."""
        return sum(parameter.numel() for parameter in self.trained.values())


def prepare(config: PhaseConfig, trainer: Mapping[str, Any], cache: ScoreCache) -> Prepared:
    """Open the stack, attach the new module, encode the skill's examples, and check everything.

    Args:
        config: the options of the phase; the stack's folder is locked.
        trainer: the trainer's settings that the result depends on; ``steps`` among them.
        cache: what the phase shares with others.

    Returns:
        The phase, ready to be trained; its work folder exists, unless nothing is to be written.

    Raises:
        GrowlmError: if the stack is damaged or on another base, the name is taken, a skill cannot be used or scored,
            the method has nothing to train, another unfinished phase is there, or the disk is too full.
    """
    method = cast(Method, methods.build(config.method, config.method_options))
    skill = cache.skill(config.skill, config.skill_options, config.metric)
    if not config.dry_run:
        store.recover(config.stack)
    for notice in skill.notices:
        _logger.info(notice)
    stack = _open_stack(config)
    if config.module in stack.parents():
        raise GrowlmError(
            f"{config.stack} has a module {config.module!r} already: undo it first, or give another --name"
        )
    _check_encoder_decoder(config, stack, method)
    parents = method.grow_on(stack, _requested_path(stack, config.parents))
    _check_parents(stack, parents)
    scored = _scored_skills(config, stack, skill, cache)
    kinds, continues = method.build(stack, skill), method.continues(stack)
    stack.attach(config.module, kinds, parents, config.seed, continues)
    batches = _batches(config, stack, method, skill, cache)
    trainer = {**trainer, "steps": _num_steps(config, trainer, batches) if method.trains else 0}
    method.begin(stack, config.module, batches)
    _check_hidden_cache(config, stack, method)
    trained = _trained(config, stack, method)
    _check_scored(config, stack, scored)
    routing = _routing(config, stack, scored, cache)
    settings = {**config.recorded(), **trainer}
    work = config.stack / store.WORK
    if not config.dry_run:
        require_disk_space(config.stack, sum(value.numel() for value in trained.values()) * _BYTES_PER_TRAINED)
        _begin_work(work, config, stack, settings, cache.digest(skill, "train"))
    return Prepared(
        config, settings, stack, parents, method, kinds, continues, skill, scored, batches, trained, routing, work
    )


def training_summary(prepared: Prepared) -> str:
    """Say in one line how many examples and tokens there are, how long, how many are cut, and how often they are read.

    Args:
        prepared: the phase, ready to be trained.

    Returns:
        The line.
    """
    examples, settings = prepared.batches.examples, prepared.settings
    lengths = [len(example.input_ids) for example in examples]
    trained = sum(sum(example.trained) for example in examples)
    cut = f"{prepared.num_truncated:,} are cut" if prepared.num_truncated else "none is cut"
    per_step = prepared.batches.batch_size * int(settings["accumulate_grad_batches"])
    epochs = int(settings["steps"]) * per_step / len(examples)
    steps = counted(int(settings["steps"]), "step")
    return (
        f"{counted(len(examples), 'training example')} of {min(lengths)} to {max(lengths)} tokens "
        f"(median {median(lengths):g}), {cut}; {sum(lengths):,} tokens, {trained:,} of them trained; "
        f"{steps} of {counted(per_step, 'example')}: {epochs:.1f} epochs"
    )


def _open_stack(config: PhaseConfig) -> ModuleStack:
    dtype = None if config.dtype is None else getattr(torch, config.dtype)
    how: dict[str, Any] = {"dtype": dtype, "tokenizer": config.tokenizer, "quantization": config.quantization}
    if (config.stack / STACK_FILE).exists():
        return ModuleStack.from_pretrained(config.stack, base=config.base, **how)
    return ModuleStack.from_base(config.base or DEFAULT_BASE, **how).eval()


def _check_encoder_decoder(config: PhaseConfig, stack: ModuleStack, method: Method) -> None:
    """Refuse what does not work on an encoder-decoder, if the base is one."""
    if not stack.architecture.has_encoder:
        return
    if not method.encoder_decoder:
        usable = ", ".join(name for name in methods if methods.get(name).encoder_decoder)
        raise GrowlmError(f"method {config.method!r} does not work on an encoder-decoder: use one of {usable}")
    if config.cache_hidden_states:
        raise GrowlmError(
            "the layers of an encoder-decoder depend on more than those below: leave cache_hidden_states out"
        )


def _requested_path(stack: ModuleStack, parents: str) -> StackPath:
    if parents == "all":
        return stack.manifest.current()
    return () if parents == "none" else parse_path(parents, stack.parents())


def _check_parents(stack: ModuleStack, parents: StackPath) -> None:
    """Refuse to grow on modules that put tokens before the examples: methods look at those of the examples alone."""
    for name in parents:
        if any(module_kinds.get(kind).adds_tokens for kind in stack.manifest.record(name).kinds):
            raise GrowlmError(
                f"module {name!r} puts examples of its own before what it is shown, and nothing can be grown on that: "
                "give parents without it, or none"
            )


def _batches(config: PhaseConfig, stack: ModuleStack, method: Method, skill: Skill, cache: ScoreCache) -> StepBatches:
    examples = cache.encoded(stack, skill, min(config.max_length, stack.context_length))
    if not examples:
        raise GrowlmError(f"skill {config.skill!r} has no training examples")
    row_length = _ROW_LENGTH if config.packing and _can_pack(stack, method) else None
    return StepBatches(examples, config.batch_size, config.seed, stack.pad_id, row_length, config.curriculum)


def _num_steps(config: PhaseConfig, trainer: Mapping[str, Any], batches: StepBatches) -> int:
    """Compute the steps of a phase, where its length is given in epochs."""
    if config.epochs is None:
        return int(trainer["steps"])
    per_epoch = len(batches.examples) // batches.batch_size / int(trainer["accumulate_grad_batches"])
    return max(1, math.ceil(config.epochs * per_epoch))


def _can_pack(stack: ModuleStack, method: Method) -> bool:
    """Return whether several examples may share a row.

    The method must take batches and losses as they are, every part on the path must act on each token by itself, and
    the base must derive its mask from positions.
    """
    if not _is_one_plain_pass(method):
        return False
    kinds = {part_kind(key) for site in stack.sites().values() for key in site.parts if part_owner(key) in stack.path}
    return all(module_kinds.get(kind).per_token for kind in kinds) and has_plain_attention(stack.base)


def _is_one_plain_pass(method: Method) -> bool:
    """Return whether a step of a method is one pass through the batch as it is, for the usual loss."""
    return type(method).batch is Method.batch and type(method).loss is Method.loss


def _check_hidden_cache(config: PhaseConfig, stack: ModuleStack, method: Method) -> None:
    """Refuse to cache hidden states where there are none to cache, or steps run anything else."""
    if not config.cache_hidden_states:
        return
    if not _is_one_plain_pass(method):
        raise GrowlmError(
            f"method {config.method!r} runs more in a step than its examples: leave cache_hidden_states out"
        )
    if lowest_layer(stack, config.module) == 0:
        raise GrowlmError(
            f"module {config.module!r} begins in the first layer or before it, so there is nothing below it to cache: "
            "give its kinds higher layers (such as the module option lora.layers), or leave cache_hidden_states out"
        )


def _trained(config: PhaseConfig, stack: ModuleStack, method: Method) -> dict[str, nn.Parameter]:
    parameters = stack.module_parameters(config.module)
    declared = {id(parameter) for parameter in method.parameters(stack, config.module)}
    for parameter in parameters.values():
        parameter.requires_grad_(id(parameter) in declared)
    if method.trains and not any(parameter.requires_grad for parameter in parameters.values()):
        raise GrowlmError(f"method {config.method!r} with these options has nothing to train")
    return parameters


def _scored_skills(config: PhaseConfig, stack: ModuleStack, skill: Skill, cache: ScoreCache) -> dict[str, Skill]:
    """Build every skill that is scored: the base's, those of the modules there are, and the new one."""
    records = [record for record in stack.manifest.modules if record.skill]
    found = {record.name: _earlier_skill(record, cache, config.trust_data) for record in records}
    earlier = {name: known for name, known in found.items() if known is not None}
    stories = cache.skill(BASE_SKILL, {"file": config.stories} if config.stories else {})
    return {BASE_SKILL: stories, **earlier, config.module: skill}


def _earlier_skill(record: ModuleRecord, cache: ScoreCache, trust_data: bool) -> Skill | None:
    """Build the skill of an earlier module, unless its examples are gone or are not those that it was scored on."""
    try:
        skill = cache.recorded_skill(record, trust_data)
        problem = data_problem(record, cache.digest(skill, "test"))
    except (GrowlmError, OSError) as error:
        problem = str(error)
    if problem is None:
        return skill
    _logger.warning("module %r is not scored again and keeps its earlier scores: %s", record.name, problem)
    return None


def _check_scored(config: PhaseConfig, stack: ModuleStack, scored: Mapping[str, Skill]) -> None:
    """Refuse an example that could not be scored now rather than after the training."""
    for skill in scored.values():
        for example in islice(skill.examples("test"), config.num_scored):
            encode(example, stack.tokenizer, stack.context_length)


def _routing(
    config: PhaseConfig, stack: ModuleStack, scored: Mapping[str, Skill], cache: ScoreCache
) -> tuple[Router, dict[str, SkillPrompts]] | None:
    """Build the router that is to learn the new module; what it could not learn then is refused now."""
    if config.router == NO_ROUTER:
        return None
    if config.router not in routers:
        raise unknown_name("router", config.router, [*routers, NO_ROUTER])
    router = next_router(stack, config.router, config.router_options)
    prompts = {BASE if name == BASE_SKILL else name: cache.prompts(stack, skill) for name, skill in scored.items()}
    for name in unlearned_modules(stack, router, config.module):
        if name not in prompts:
            raise GrowlmError(f"router {config.router!r} has to learn module {name!r}, whose data are gone or changed")
        router.check(stack, name, prompts[name])
    return router, prompts


def _begin_work(
    work: Path, config: PhaseConfig, stack: ModuleStack, settings: dict[str, Any], train_digest: str
) -> None:
    """Create the folder of an unfinished phase, or find it again if it is this phase's."""
    identity = {
        "settings": settings,
        "stack": [record.digest for record in stack.manifest.modules],
        "base": stack.manifest.base.digest,
        "data": train_digest,
    }
    if not (config.stack / STACK_FILE).exists():
        store.begin(config.stack, stack.manifest, stack.config, stack.top_files(stack.manifest))
    if config.restart:
        shutil.rmtree(work, ignore_errors=True)
    if (work / PHASE_FILE).exists():
        there = read_json(work / PHASE_FILE)
        recorded = there.pop("settings", {}) if isinstance(there, dict) else None
        if not isinstance(recorded, dict):
            raise GrowlmError(
                f"{work / PHASE_FILE} is not the record of an unfinished phase: discard the phase with --restart true"
            )
        changed = difference(recorded, settings) or difference(there, identity)
        if changed:
            raise GrowlmError(
                f"an unfinished phase with other settings is in {work} ({changed}): run it again as it was to finish "
                "it, or discard it with --restart true"
            )
    else:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        write_json(work / PHASE_FILE, identity)
