"""``growlm undo``."""

from pathlib import Path


def undo(stack: Path = Path("checkpoints/stack")) -> None:
    """Take the newest module off a stack; what is left is the earlier stack, byte for byte.

    Args:
        stack: the stack's folder.
    """
    from growlm.files import folder_lock
    from growlm.manifest import store
    from growlm.manifest.manifest import read_manifest

    read_manifest(stack)  # before the lock, which would make a folder that is not there
    with folder_lock(stack):
        store.recover(stack)
        name = store.undo(stack)
    left = [record.name for record in read_manifest(stack).modules]
    print(f"module {name!r} is gone; {stack} is {' + '.join(['base', *left])} again")
