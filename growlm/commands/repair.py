"""``growlm repair``."""

from pathlib import Path


def repair(stack: Path = Path("checkpoints/stack"), base: str | None = None) -> None:
    """Rebuild a stack's ``stack.json`` from the records of its modules, and list its files as they are.

    Args:
        stack: the stack's folder.
        base: where the base is now, if not where the modules' records say.
    """
    from dataclasses import replace

    from growlm.errors import GrowlmError
    from growlm.files import folder_lock
    from growlm.manifest.integrity import rebuild, recorded_base
    from growlm.stack.stack import ModuleStack

    recorded = recorded_base(stack)  # before the lock, which would make a folder that is not there
    with folder_lock(stack):
        found = ModuleStack.from_base(base or str(recorded["source"])).manifest.base
        if found.digest != recorded["digest"]:
            raise GrowlmError(f"base {found.source!r} is not the one {stack} was grown on: give it with --base")
        manifest = rebuild(stack, replace(found, source=str(recorded["source"])))
    names = [record.name for record in manifest.modules]
    print(f"{stack} is {' + '.join(['base', *names])}; check it with: growlm verify {stack}")
