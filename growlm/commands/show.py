"""``growlm show``."""

import json as json_format
import sys
from dataclasses import asdict
from pathlib import Path


def show(stack: Path = Path("checkpoints/stack"), json: bool = False, importance: bool = False) -> None:
    """Show a stack as a tree: base, modules, what each was grown on, cost and scores.

    Args:
        stack: the stack's folder.
        json: print the whole manifest as JSON instead, every tensor's digest included.
        importance: print instead which parts of its modules matter to which skills, layer by layer, as methods tasl,
            kif and recurrent_kif have measured it.
    """
    from growlm.manifest.manifest import read_manifest

    manifest = read_manifest(stack)
    if json:
        content = asdict(manifest)
        for module, record in zip(content["modules"], manifest.modules, strict=True):
            module["path"] = record.path
        print(json_format.dumps(content, indent=2, ensure_ascii=False))
        return
    from growlm.terminal import safe_console

    # a pipe has no width; wide enough there that nothing is broken over lines
    console = safe_console(width=None if sys.stdout.isatty() else 200)
    if importance:
        from growlm.show.importance import stack_importance

        console.print(stack_importance(stack, manifest))
        return
    from growlm.show.tree import stack_tree

    console.print(stack_tree(manifest))
