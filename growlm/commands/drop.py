"""``growlm drop``."""

from pathlib import Path

POSITIONAL = ("name", "stack")


def drop(name: str, stack: Path = Path("checkpoints/stack"), base: str | None = None) -> None:
    """Take any module out of a stack on which no other was grown; the others stay as they are.

    Args:
        name: the module's name.
        stack: the stack's folder.
        base: where the base is now, if not where the manifest says.
    """
    from growlm.files import folder_lock
    from growlm.manifest import store
    from growlm.manifest.manifest import read_manifest
    from growlm.train.drop import drop_module

    if not stack.exists():
        read_manifest(stack)  # before the lock, which would make the folder
    with folder_lock(stack):
        store.recover(stack)
        drop_module(stack, name, base)
    left = [record.name for record in read_manifest(stack).modules]
    print(f"module {name!r} is gone; {stack} is {' + '.join(['base', *left])}")
