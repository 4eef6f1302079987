"""``growlm export``."""

from pathlib import Path


def export(
    stack: str = "checkpoints/stack",
    to: str = "hf",
    out: Path | None = None,
    path: str | None = None,
    fuse: bool = False,
    dtype: str | None = None,
    base: str | None = None,
) -> None:
    """Write one path of a stack in a format that other programs load, and compare the result with the stack.

    Args:
        stack: the stack's folder, or the name of a shipped base.
        to: the format: ``hf`` (stock transformers), ``peft`` (LoRA adapter), ``gguf`` (llama.cpp) or ``ollama``.
        out: folder of the result, empty or not there; left out: the stack's name and the format, such as
            ``stack-hf``.
        path: the path to export: ``base``, a module's name, or names joined by ``+``; left out: the newest module's.
        fuse: merge the modules of --path as one change of weights, right for the inputs of each one's own skill.
        dtype: type of the weights in the result, such as ``float16``; left out: the format's own default.
        base: where the base is now, if not where the manifest says.
    """
    from growlm.export.exporter import export as write
    from growlm.manifest.path import format_path
    from growlm.registry import exporters
    from growlm.show.talk import open_stack

    exporter = exporters.build(to, {} if dtype is None else {"dtype": dtype})
    loaded = open_stack(Path(stack), base, path, fuse)
    folder = out or Path(f"{Path(stack).name}-{to}")
    for check in write(loaded, exporter, folder):
        print(f"{check.name}: {check.value}")
    print(f"path {format_path(loaded.path)} exported to {folder}")
