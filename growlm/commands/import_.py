"""``growlm import``."""

from pathlib import Path

POSITIONAL = ("adapter", "stack")


def import_(
    adapter: Path,
    stack: Path = Path("checkpoints/stack"),
    name: str | None = None,
    parents: str = "none",
    base: str | None = None,
    trust_data: bool = False,
) -> None:
    """Add a LoRA adapter that PEFT saved, or modules of another stack, to a stack; they compute the same there.

    Args:
        adapter: the adapter's folder (``adapter_config.json`` and ``adapter_model.safetensors``), or another stack's.
        stack: the stack's folder; a new one is begun on --base.
        name: the module's name; left out: that of the adapter's folder. Of another stack: the modules, joined by ``+``;
            left out: all.
        parents: the path below an adapter: ``none``, the bare base that adapters are trained on, or names joined by
            ``+``. A module of another stack needs the modules that it was grown on.
        base: a new stack's base, if not the one that the adapter or the other stack names; else where the base is now.
        trust_data: read the data files and hub ids that another stack names, so that the router learns its modules.
    """
    from growlm.manifest.manifest import STACK_FILE

    if (adapter / STACK_FILE).exists():
        from growlm.imports.from_stack import import_modules

        for added in import_modules(adapter, stack, name.split("+") if name else (), base, trust_data):
            print(f"module {added.name!r}: {added.parameters:,} parameters, as in {adapter}, frozen in {stack}")
        return
    from growlm.imports.install import import_adapter

    record = import_adapter(adapter, stack, name, parents, base).manifest.modules[-1]
    kinds = ", ".join(f"{kind} of rank {options['rank']}" for kind, options in record.kinds.items())
    print(f"module {record.name!r}: {kinds}, {record.parameters:,} parameters, frozen in {stack}")
