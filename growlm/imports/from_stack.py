"""Adding modules of another stack on the same base, with their records as they are.

A module is a function of the base and of the modules below it. Where these are the same, its tensors, its path's logits
and its record are the same in both stacks.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from growlm.errors import GrowlmError
from growlm.files import folder_lock, tensor_digests
from growlm.imports.install import write_module
from growlm.imports.teach import teach_router
from growlm.manifest import store
from growlm.manifest.manifest import STACK_FILE, Manifest, ModuleRecord
from growlm.registry import module_kinds
from growlm.stack.stack import ModuleStack


def import_modules(
    source: str | Path,
    stack: str | Path,
    names: Sequence[str] = (),
    base: str | None = None,
    trust_data: bool = False,
) -> list[ModuleRecord]:
    """Add modules of another stack to a stack, each in one step; the stack is begun if it is not there.

    The stack's router learns them, from prompts of their skills; of a new stack that is a router like the other one's.

    Args:
        source: folder of the other stack.
        stack: folder of the stack.
        names: the modules, in any order; none: all.
        base: where the base is, if not where the manifests say.
        trust_data: read the data files and hub ids that the other stack's records name, to teach the router.

    Returns:
        The records of the added modules.

    Raises:
        GrowlmError: if a stack is damaged, the bases differ, a name is taken, or a module below is missing.
    """
    folder = Path(stack)
    other = ModuleStack.from_pretrained(source, base=base)
    with folder_lock(folder):
        store.recover(folder)
        if (folder / STACK_FILE).exists():
            opened = ModuleStack.from_pretrained(folder, base=base)
        else:
            opened = ModuleStack.from_base(base or other.manifest.base.source).eval()
        if opened.manifest.base.digest != other.manifest.base.digest:
            raise GrowlmError(
                f"{source} is on another base ({other.manifest.base.source}) than {folder} "
                f"({opened.manifest.base.source}): a module works on its own base alone"
            )
        records = _chosen(other.manifest, names)
        for record in records:
            _check(record, opened.manifest, other.manifest)
            _copy(record, other, opened)
            teach_router(opened, opened.router or other.router, {}, trust_data)
            write_module(folder, opened, other.method_tensors(record.name))
    return records


def _chosen(manifest: Manifest, names: Sequence[str]) -> list[ModuleRecord]:
    known = [record.name for record in manifest.modules]
    for name in names:
        if name not in known:
            raise GrowlmError(f"there is no module {name!r} to import: give one of {', '.join(known) or 'none'}")
    return [record for record in manifest.modules if not names or record.name in names]


def _check(record: ModuleRecord, manifest: Manifest, other: Manifest) -> None:
    there, theirs = ({known.name: known.digest for known in modules.modules} for modules in (manifest, other))
    if record.name in there:
        raise GrowlmError(f"the stack has a module {record.name!r} already: undo it first, or import others by --name")
    for needed in dict.fromkeys((*record.parents, *record.supersedes)):
        if there.get(needed) != theirs[needed]:
            raise GrowlmError(
                f"module {record.name!r} was grown on {needed!r}, which the stack "
                f"{'has with other values' if needed in there else 'does not have: import that, too'}"
            )


@torch.no_grad()
def _copy(record: ModuleRecord, other: ModuleStack, stack: ModuleStack) -> None:
    kinds = {kind: module_kinds.build(kind, options) for kind, options in record.kinds.items()}
    stack.attach(record.name, kinds, record.parents, record.seed)
    tensors = stack.module_tensors(record.name)
    for key, value in other.module_tensors(record.name).items():
        tensors[key].copy_(value)
    if tensor_digests(stack.module_tensors(record.name)) != record.tensors:
        raise GrowlmError(f"module {record.name!r} cannot be copied: its tensors are not those of its record")
    stack.freeze(record, other.method_tensors(record.name))
