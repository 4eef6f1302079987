"""Memory of a phase on a large base: ``python benchmarks/memory.py``.

A random base of the shape of Qwen2.5-1.5B is made in bf16, 1.54 B parameters, and LoRA of rank 16 is grown on it for a
few steps. Reported are the greatest memory of that process beyond what its libraries take, and its ratio to the
weights. Every measurement is a process of its own: with one example a step and with several, with gradient
checkpointing and without. The base is removed afterwards.
"""

import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from jsonargparse import auto_cli
from rich.console import Console
from rich.table import Table

from growlm.files import write_json

SHAPE: dict[str, Any] = {
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "tie_word_embeddings": True,
}


def make_base(folder: Path) -> int:
    """Write a random base in bf16 with the tokenizer of a shipped one; return the bytes of its weights."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from growlm.base.load import load_tokenizer

    tokenizer = load_tokenizer("mini")
    config = Qwen2Config(**SHAPE, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id)
    torch.set_default_dtype(torch.bfloat16)
    model = Qwen2ForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def grow(base: Path, batch_size: int, steps: int, checkpointing: bool) -> int:
    """Grow a module in this process; return the greatest memory beyond that of the libraries, in bytes."""
    from growlm.bench.run.cost import peak_memory
    from growlm.train.fit import fit_phase, new_trainer
    from growlm.train.phase import GrowPhase

    before = peak_memory() or 0
    with tempfile.TemporaryDirectory() as folder:
        phase = GrowPhase(
            "chat", stack=Path(folder, "stack"), base=str(base), dtype="bfloat16", batch_size=batch_size, router="none",
            skill_options={"num_train": batch_size * steps}, method_options={"module": {"lora": {"rank": 16}}},
            metric="loss", num_scored=1, rescore=False, gradient_checkpointing=checkpointing, compile=False,
        )  # fmt: skip
        fit_phase(phase, new_trainer(max_steps=steps, accelerator="cpu", precision="bf16-mixed"))
    return (peak_memory() or 0) - before


def main(
    batch_sizes: tuple[int, ...] = (1, 4), steps: int = 3, out: Path = Path("results/memory.json"), work: Path = Path()
) -> None:
    """Measure, and write and print the results.

    Args:
        batch_sizes: examples a step.
        steps: steps of a phase.
        out: file of the results.
        work: folder with room for the base, 3.1 GB.
    """
    table = Table("examples a step", "gradient checkpointing", "peak, GB", "of the weights")
    with (
        tempfile.TemporaryDirectory(dir=work) as folder,
        ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as fresh,
    ):
        weights = fresh.submit(make_base, Path(folder)).result()
        found = [
            {
                "batch_size": size,
                "checkpointing": kept,
                "peak": fresh.submit(grow, Path(folder), size, steps, kept).result(),
            }
            for size in batch_sizes
            for kept in (False, True)
        ]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, {"weights": weights, "steps": steps, "runs": found})
    for run in found:
        ratio = f"{run['peak'] / weights:.2f}"
        table.add_row(str(run["batch_size"]), str(run["checkpointing"]), f"{run['peak'] / 1e9:.2f}", ratio)
    Console().print(f"weights: {weights / 1e9:.2f} GB")
    Console().print(table)


if __name__ == "__main__":
    auto_cli(main)
