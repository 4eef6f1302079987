"""A GGUF file for llama.cpp and what builds on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch

from growlm.export._gguf import write_gguf
from growlm.export.exporter import Check, Exporter
from growlm.stack.stack import ModuleStack


@dataclass(frozen=True)
class Gguf(Exporter):
    """One GGUF file for llama.cpp and what builds on it, from bases of Llama's architecture.

    Args:
        dtype: type of the matrices; llama.cpp's tokens are compared in float32 alone.
    """

    dtype: Literal["float32", "float16"] = "float32"

    library: ClassVar[str] = "gguf"
    usage: ClassVar[str] = "```bash\nllama-cli -m {folder}/model.gguf --jinja\n```"

    def write(self, stack: ModuleStack, folder: Path) -> list[Check]:
        """Write the file and compare it; see ``Exporter.write``."""
        return write_gguf(stack, folder / "model.gguf", getattr(torch, self.dtype))
