"""What an export is: the active path of a stack, written in a format that other programs load."""

import json
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from growlm.base.load import auto_class
from growlm.errors import GrowlmError
from growlm.files import write_text
from growlm.manifest.path import format_path
from growlm.manifest.recorded_skill import portable_base
from growlm.stack.hub import base_license
from growlm.stack.stack import ModuleStack


@dataclass(frozen=True)
class Check:
    """What an exporter measured on the files that it had written.

    Args:
        name: what was compared, such as ``"largest difference of logits"``.
        value: the result as text.
    """

    name: str
    value: str


class Exporter(ABC):
    """One export format; a subclass writes the files and compares what they compute with the stack."""

    library: ClassVar[str] = "transformers"
    """The library that loads the folder, as the Hugging Face hub names it."""

    usage: ClassVar[str]
    """Lines of Python or shell that use the folder ``{folder}``, loaded by the class ``{auto}``, for its card."""

    @abstractmethod
    def write(self, stack: ModuleStack, folder: Path) -> list[Check]:
        """Write the active path of a stack and check the result.

        Args:
            stack: the stack, in evaluation mode, with the path to export active.
            folder: an empty folder.

        Returns:
            What was compared with the stack.

        Raises:
            GrowlmError: if the format cannot hold the path exactly, or what was written computes something else.
        """


def export(stack: ModuleStack, exporter: Exporter, folder: Path) -> list[Check]:
    """Export the active path of a stack; nothing is left behind if that fails.

    Args:
        stack: the stack, with the path to export active.
        exporter: the format.
        folder: where the result goes; it must be empty or not there.

    Returns:
        What was compared with the stack.

    Raises:
        GrowlmError: if the folder is not empty, or as ``Exporter.write`` says.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GrowlmError(f"{folder} is not an empty folder: choose another --out")
    unfinished = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        checks = exporter.write(stack, unfinished)
        write_text(unfinished / "README.md", _card(stack, exporter, folder, checks))
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return checks


def _card(stack: ModuleStack, exporter: Exporter, folder: Path, checks: list[Check]) -> str:
    base, source = stack.manifest.base, portable_base(stack.manifest.base.source)
    skills = [record for record in stack.manifest.modules if record.name in stack.path]
    lines = [
        "---",
        *([f"license: {license}"] if (license := base_license(base.source)) else []),
        *([f"base_model: {json.dumps(source)}"] if source.count("/") == 1 else []),  # an id of the hub
        f"library_name: {exporter.library}",
        f"pipeline_tag: {'text2text' if stack.architecture.has_encoder else 'text'}-generation",
        "tags: [growlm]",
        "---",
        f"# {folder.name}",
        "",
        f"Exported by growlm from the path `{format_path(stack.path)}` of a stack on the base "
        f"`{source}` (SHA-256 `{base.digest[:16]}…`).",
        "",
        exporter.usage.format(folder=folder.name, auto=auto_class(stack.base.config)),
        "",
        "| module | kinds | SHA-256 |",
        "|---|---|---|",
        *(f"| {record.name} | {' + '.join(record.kinds)} | `{record.digest[:16]}…` |" for record in skills),
        "",
        "Compared with the stack when it was written:",
        "",
        "| compared | result |",
        "|---|---|",
        *(f"| {check.name} | {check.value} |" for check in checks),
    ]
    return "\n".join(lines) + "\n"
