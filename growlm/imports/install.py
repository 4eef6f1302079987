"""Adding an adapter to a stack's folder as a module, in one step like a phase's."""

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from growlm.errors import GrowlmError, check_at_least
from growlm.files import folder_lock
from growlm.imports.adapter import Adapter, read_adapter
from growlm.imports.module import ImportedModule, adapter_module
from growlm.imports.teach import NamedSkill, learn_skill
from growlm.manifest import store
from growlm.manifest.manifest import STACK_FILE, ModuleRecord
from growlm.manifest.path import parse_path
from growlm.manifest.records import IMPORT
from growlm.stack.stack import ModuleStack
from growlm.stack.tensors import outside_record
from growlm.train.config import PhaseConfig
from growlm.train.machine import describe_environment

_logger = logging.getLogger(__name__)


def import_adapter(
    adapter: str | Path,
    stack: str | Path,
    name: str | None = None,
    parents: str = "none",
    base: str | None = None,
    skill: str | None = None,
    skill_options: Mapping[str, Any] | None = None,
    num_scored: int = PhaseConfig.num_scored,
) -> ModuleStack:
    """Add a PEFT LoRA adapter to a stack as a frozen module; the stack is begun if it is not there.

    With a skill the module is scored on it and learned by the stack's router, as if it had been grown.

    Args:
        adapter: the adapter's folder.
        stack: the stack's folder.
        name: the module's name; None: that of the adapter's folder.
        parents: the path that the adapter was trained on, which is active below it: ``none`` is the bare base.
        base: where the base is, if not where the manifest (for a new stack: the adapter) says.
        skill: what the adapter was trained on: a skill's name or data of your own; None: the module has no skill.
        skill_options: options of the skill.
        num_scored: greatest number of the skill's test examples that are scored.

    Returns:
        The stack, the new module's path active.

    Raises:
        GrowlmError: if the adapter cannot be imported exactly, does not fit the base, the name is taken, or the skill
            cannot be scored; nothing is written then.
    """
    check_at_least("num_scored", num_scored, 1)
    if skill is None and skill_options:
        raise GrowlmError("skill_options are those of a skill: give the skill, too")
    found, named = read_adapter(Path(adapter)), None if skill is None else NamedSkill.of(skill, skill_options)
    name = name or re.sub(r"[^a-z0-9_-]+", "-", Path(adapter).resolve().name.lower()).strip("-_")
    folder = Path(stack)
    with folder_lock(folder):
        store.recover(folder)
        opened = _open(folder, base, found)
        path = () if parents == "none" else parse_path(parents, opened.parents())
        module = adapter_module(found, opened.architecture)
        opened.attach(name, module.kinds, path)
        record = _fill(opened, name, module, found)
        opened.freeze(record if named is None else replace(record, skill=named.record()))
        opened.eval()
        if named is not None:
            learn_skill(opened, named, num_scored)
        write_module(folder, opened, {})
    return opened


def _open(folder: Path, base: str | None, adapter: Adapter) -> ModuleStack:
    if (folder / STACK_FILE).exists():
        stack = ModuleStack.from_pretrained(folder, base=base)
    elif base or adapter.base:
        stack = ModuleStack.from_base(base or str(adapter.base))
    else:
        raise GrowlmError("the adapter does not say what its base is: give it with --base")
    source = stack.manifest.base.source
    if adapter.base is not None and Path(adapter.base).name != Path(source).name:
        _logger.warning("the adapter says that its base is %r, and the stack's is %r", adapter.base, source)
    return stack


@torch.no_grad()
def _fill(stack: ModuleStack, name: str, module: ImportedModule, adapter: Adapter) -> ModuleRecord:
    """Copy the adapter's values into the module and describe it."""
    parameters = stack.module_parameters(name)
    for key, value in module.values.items():
        parameter = parameters[key]
        parameter[: value.shape[0], : value.shape[1]] = value.to(parameter)
    method = {"name": IMPORT, "options": {"format": "peft", "digest": adapter.digest}}
    return outside_record(stack, name, module.kinds, method, environment=describe_environment())


def write_module(folder: Path, stack: ModuleStack, method_tensors: Mapping[str, Tensor]) -> None:
    """Add the newest module to a stack's folder in one step; begin the folder if it is not there.

    Args:
        folder: the folder, locked.
        stack: the stack.
        method_tensors: what the module's method keeps for later phases.
    """
    manifest = stack.manifest
    if not (folder / STACK_FILE).exists():
        bare = replace(manifest, modules=())
        store.begin(folder, bare, stack.config_upto(bare), stack.top_files(bare))
    tensors = stack.module_tensors(manifest.modules[-1].name)
    store.commit(folder, manifest, stack.config, tensors, method_tensors, stack.top_files(manifest))
