"""``growlm verify``."""

from pathlib import Path


def verify(stack: Path = Path("checkpoints/stack"), base: str | None = None) -> None:
    """Check every file and every tensor of a stack, its base included, against the digests in its manifest.

    Args:
        stack: the stack's folder.
        base: where the base is now, if not where the manifest says.
    """
    from growlm.manifest.integrity import verify_files
    from growlm.stack.stack import ModuleStack
    from growlm.terminal import counted

    loaded = ModuleStack.from_pretrained(stack, base=base)
    manifest = loaded.manifest
    tensors = counted(len(manifest.base.tensors), "tensor")
    print(f"base {manifest.base.source}: {tensors}, unchanged (sha256 {manifest.base.digest})")
    if loaded.router is not None:
        print(f"router {loaded.router.name}: {counted(len(loaded.router.state_dict()), 'tensor')}, unchanged")
    for record in manifest.modules:
        print(f"module {record.name}: {counted(len(record.tensors), 'tensor')}, unchanged (sha256 {record.digest})")
        if loaded.method_tensors(record.name):
            print(
                f"  kept by method {record.method['name']}: {counted(len(record.method_tensors), 'tensor')}, unchanged"
            )
    checked = verify_files(stack)
    note = "" if checked.complete else "; format version 1 has no digests of files: the next change adds them"
    print(f"files: {checked.num_files}, unchanged{note}")
