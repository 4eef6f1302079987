"""``growlm import``."""

from pathlib import Path
from typing import Any

from growlm.train.config import PhaseConfig

POSITIONAL = ("adapter", "stack")


def import_(
    adapter: Path,
    stack: Path = Path("checkpoints/stack"),
    name: str | None = None,
    parents: str = "none",
    base: str | None = None,
    trust_data: bool = False,
    skill: str | None = None,
    skill_options: dict[str, Any] | None = None,
    num_scored: int = PhaseConfig.num_scored,
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
        skill: what an adapter was trained on: a skill, or data of your own (a file, folder, glob or data set). The
            module is scored on it and the router learns it, as if it had been grown. Modules of another stack bring
            their own.
        skill_options: options of the skill, as JSON.
        num_scored: test examples of the skill that are scored.
    """
    from growlm.errors import GrowlmError
    from growlm.manifest.manifest import STACK_FILE

    if (adapter / STACK_FILE).exists():
        if skill is not None:
            raise GrowlmError(f"{adapter} is a stack, whose modules bring their own skills: leave --skill out")
        from growlm.imports.from_stack import import_modules

        for added in import_modules(adapter, stack, name.split("+") if name else (), base, trust_data):
            print(f"module {added.name!r}: {added.parameters:,} parameters, as in {adapter}, frozen in {stack}")
        return
    from growlm.imports.install import import_adapter
    from growlm.terminal import counted

    record = import_adapter(adapter, stack, name, parents, base, skill, skill_options, num_scored).manifest.modules[-1]
    kinds = ", ".join(f"{kind} of rank {options['rank']}" for kind, options in record.kinds.items())
    print(f"module {record.name!r}: {kinds}, {record.parameters:,} parameters, frozen in {stack}")
    if own := record.scores.get(record.name):
        score = own["oracle"]
        print(
            f"{record.skill['name']}: {score['metric']} {score['value']:.3f} on "
            f"{counted(score['count'], 'test example')}, the bare base {own['base']['value']:.3f}"
        )
