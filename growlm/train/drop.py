"""Removal of any module from a stack's folder."""

import tempfile
from pathlib import Path

from growlm.errors import GrowlmError, unknown_name
from growlm.manifest import store
from growlm.manifest.earlier import RENDERED, Top
from growlm.manifest.manifest import Manifest
from growlm.manifest.own_files import ROUTER_FILE, TRANSFORMERS_FILES
from growlm.stack.router_file import read_router, router_files
from growlm.stack.stack import ModuleStack


def drop_module(folder: Path, name: str, base: str | None = None) -> None:
    """Remove a module on which no other was grown; the others keep their tensors, paths and logits.

    Dropping the newest is the same as ``undo``. After dropping an earlier one the folder is what it would be if the
    module had never been grown, but for what later modules' records say: scores that were measured with it there.

    Args:
        folder: the stack's folder; it must be locked and recovered.
        name: the module's name.
        base: where the base is now, if not where the manifest says.

    Raises:
        GrowlmError: if there is no such module, others depend on it, or the stack is damaged.
    """
    stack = ModuleStack.from_pretrained(folder, base=base)
    modules = stack.manifest.modules
    names = [record.name for record in modules]
    if name not in names:
        raise unknown_name("module", name, names)
    dependent = [record.name for record in modules if name in (*record.parents, *record.supersedes)]
    if dependent:
        raise GrowlmError(
            f"module {name!r} cannot be dropped, later ones were grown on it: {', '.join(dependent)}; "
            "drop those first, the newest first"
        )
    if name == names[-1]:
        store.undo(folder)
        return

    def rewrite(manifest: Manifest, top: Top) -> Top:
        with tempfile.TemporaryDirectory() as folder:
            if ROUTER_FILE in top:
                (Path(folder) / ROUTER_FILE).write_bytes(top[ROUTER_FILE])
            router = router_files(read_router(Path(folder), stack.architecture, stack.manifest), manifest)
        rendered = {file: render(manifest) for file, render in RENDERED.items() if file in top}
        copies = {file: top[file].decode() for file in TRANSFORMERS_FILES if file in top}
        return store.render_top(stack.config_upto(manifest), {**rendered, **router, **copies})

    store.drop(folder, stack.manifest, names.index(name), rewrite)
