"""A folder that stock transformers loads: weights, config, tokenizer, chat template, generation defaults."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from growlm.base.load import no_progress_bar
from growlm.export._compare import compare_model, compare_template
from growlm.export.exporter import Check, Exporter
from growlm.stack.stack import ModuleStack


@dataclass(frozen=True)
class Hf(Exporter):
    """Folder for stock transformers, with the path's modules merged into the weights.

    Args:
        dtype: type that the weights are written in; logits are checked to 1e-5 in float32 alone.
    """

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    usage: ClassVar[str] = (
        "```python\nfrom transformers import {auto}, AutoTokenizer\n\n"
        'model = {auto}.from_pretrained("{folder}")\n'
        'tokenizer = AutoTokenizer.from_pretrained("{folder}")\n```'
    )

    def write(self, stack: ModuleStack, folder: Path) -> list[Check]:
        """Write the merged model and compare it; see ``Exporter.write``."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        dtype = getattr(torch, self.dtype)
        with no_progress_bar():
            torch.nn.Module.to(stack.merged(), dtype).save_pretrained(folder)
            model: Any = (
                ModuleStack.from_base(str(folder), dtype)  # which takes rows, as the stack does
                if stack.architecture.has_encoder
                else AutoModelForCausalLM.from_pretrained(folder, dtype="auto", local_files_only=True)
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return [
            *compare_model(stack, torch.nn.Module.to(model.eval(), stack.device)),
            *compare_template(stack, tokenizer),
        ]
