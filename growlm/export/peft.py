"""A LoRA adapter folder that PEFT loads onto the same base.

Several modules on one linear become one adapter: their A are stacked as rows, their scaled B as columns, so that B A is
the sum of the modules' s_i B_i A_i. Numbers as in PEFT (``peft.LoraConfig``); an embedding's A [V, R] and B [R, D] are
PEFT's ``lora_embedding_A`` [R, V] and ``lora_embedding_B`` [D, R], transposed; in the output embedding, also in one
that is tied, they are the B and A of a linear.

Shapes: R rank, I input dim, O output dim.
"""

import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from growlm.errors import GrowlmError
from growlm.export._compare import compare_model
from growlm.export.exporter import Check, Exporter
from growlm.files import write_json, write_tensors
from growlm.manifest.recorded_skill import portable_base
from growlm.modules.embedding import EmbeddingPart, output_change
from growlm.modules.lora import LoraPart
from growlm.modules.site import Site, part_kind, part_owner
from growlm.stack.stack import ModuleStack


@dataclass(frozen=True)
class LowRank:
    """One site's change as PEFT holds it: scale B A.

    Args:
        A: [R, I].
        B: [O, R].
        scale: what the product is multiplied by.
        is_embedding: whether the site is the token embedding.
    """

    A: Tensor
    B: Tensor
    scale: float
    is_embedding: bool

    @property
    def rank(self) -> int:
        """R."""
        return self.A.shape[0]


@dataclass(frozen=True)
class Peft(Exporter):
    """LoRA adapter folder for PEFT, of paths whose modules are low-rank changes (``lora``, ``embedding``)."""

    library: ClassVar[str] = "peft"
    usage: ClassVar[str] = (
        "```python\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n"
        'base = AutoModelForCausalLM.from_pretrained("the base, by its folder or id")\n'
        'model = PeftModel.from_pretrained(base, "{folder}")\n```'
    )

    def write(self, stack: ModuleStack, folder: Path) -> list[Check]:
        """Write the adapter and compare it; see ``Exporter.write``."""
        if stack.architecture.has_encoder:
            raise GrowlmError("adapters are exported from causal language models alone: export the path with --to hf")
        changes = {path: change for path, site in stack.sites().items() if (change := _change(stack, path, site))}
        if not changes:
            raise GrowlmError("the path has no module to export: name one with --path")
        tensors: dict[str, Tensor] = {}
        for path, change in changes.items():
            first, second = (
                ("lora_embedding_A", "lora_embedding_B") if change.is_embedding else ("lora_A.weight", "lora_B.weight")
            )
            tensors[f"base_model.model.{path}.{first}"] = change.A
            tensors[f"base_model.model.{path}.{second}"] = change.B
        write_tensors(folder / "adapter_model.safetensors", tensors, {"format": "pt"})
        write_json(folder / "adapter_config.json", _config(stack, changes))
        return _check(stack, folder, set(changes))


def _change(stack: ModuleStack, path: str, site: Site) -> LowRank | None:
    changes: list[LowRank] = []
    for key, part in site.parts.items():
        if part_owner(key) not in stack.path:
            continue
        if isinstance(part, LoraPart):
            changes.append(LowRank(part.A.detach(), part.B.detach(), part.scale, False))
        elif isinstance(part, EmbeddingPart):
            changes.append(LowRank(part.A.detach().T, part.B.detach().T, part.scale, True))
        elif (own := output_change(part)) is not None:  # copied: a file holds no memory twice
            changes.append(LowRank(own.B.detach(), own.A.detach().clone(), own.scale, False))
        else:
            raise GrowlmError(
                f"module {part_owner(key)!r} has a {part_kind(key)} at {path}, which no LoRA adapter can hold: "
                "export the merged model with --to hf"
            )
    if len(changes) < 2:
        return changes[0] if changes else None
    scaled = [change.scale * change.B for change in changes]
    stacked = torch.cat([change.A for change in changes])
    return LowRank(stacked, torch.cat(scaled, dim=1), 1.0, changes[0].is_embedding)


def _config(stack: ModuleStack, changes: dict[str, LowRank]) -> dict[str, Any]:
    """Describe the adapter; ranks and scales that are not the commonest ones are given by site."""
    (rank, scale), _ = Counter((change.rank, change.scale) for change in changes.values()).most_common(1)[0]
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": portable_base(stack.manifest.base.source),
        "r": rank,
        "lora_alpha": scale * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
        "fan_in_fan_out": any(isinstance(stack.architecture.resolve(path), Conv1D) for path in changes),
        "target_modules": sorted(changes),
        "rank_pattern": {path: change.rank for path, change in changes.items() if change.rank != rank},
        "alpha_pattern": {
            path: change.scale * change.rank
            for path, change in changes.items()
            if change.scale * change.rank != scale * rank
        },
    }


def _check(stack: ModuleStack, folder: Path, paths: set[str]) -> list[Check]:
    try:
        from peft import PeftModel
    except ImportError:
        return [Check("read back by PEFT", "not checked: PEFT is not installed (pip install peft)")]
    with stack.active():
        base = stack.merged()
    with warnings.catch_warnings():
        # PEFT warns that a change of a tied embedding is for the inputs alone, which is what is meant
        warnings.simplefilter("ignore")
        try:
            model: Any = PeftModel.from_pretrained(base, folder)
            moved = {path for path in paths if not hasattr(model.get_submodule(f"base_model.model.{path}"), "lora_A")}
        except ValueError:  # of two linears that it takes for experts' it wants both or none
            moved = paths
    if moved:
        raise GrowlmError(
            f"PEFT takes the change of {max(moved)} for one of this base's experts, so no adapter can hold it: export "
            "the merged model with --to hf"
        )
    return compare_model(stack, model.to(stack.device).eval())
