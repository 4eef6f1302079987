"""``growlm import``."""

from pathlib import Path

POSITIONAL = ("adapter", "stack")


def import_(
    adapter: Path,
    stack: Path = Path("checkpoints/stack"),
    name: str | None = None,
    parents: str = "none",
    base: str | None = None,
) -> None:
    """Add a LoRA adapter that PEFT saved to a stack as a frozen module; it computes the same there.

    Args:
        adapter: the adapter's folder (``adapter_config.json`` and ``adapter_model.safetensors``).
        stack: the stack's folder; a new one is begun on --base.
        name: the module's name; left out: that of the adapter's folder.
        parents: the path below it: ``none``, the bare base that adapters are trained on, or names joined by ``+``.
        base: a new stack's base, if not the one that the adapter names; else where the base is now.
    """
    from growlm.imports.install import import_adapter

    record = import_adapter(adapter, stack, name, parents, base).manifest.modules[-1]
    kinds = ", ".join(f"{kind} of rank {options['rank']}" for kind, options in record.kinds.items())
    print(f"module {record.name!r}: {kinds}, {record.parameters:,} parameters, frozen in {stack}")
