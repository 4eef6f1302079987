"""Speed and memory of OSFT beside PEFT's OSF: same weights, batches, loss, optimizer and preserved share.

``python benchmarks/osft.py [--size 50m] [--rounds 5] [--steps 8] [--threads 1] [--arms factor,peft,block,full]
[--precision fp32] [--exact_memory true] [--same_loss true]``. Every measurement is a process of its own, so that its
peak memory (VmHWM, imports and decompositions included) is its own; the arms take turns, round after round, so that
what else the machine does hits all alike. A process takes two steps that do not count, then times the others one by
one. Reported are medians over rounds of each round's tokens per second (tokens of a step over the median time of its
steps, by the clock and by the processor time that all threads took), the spread, and for every arm the median over
rounds of its ratio to ``peft`` in the same round.

Forward passes are under bf16 autocast in all arms, as those of a phase are where the hardware multiplies bf16 matrices
itself; ``--precision fp32`` is for the others.

The C library keeps what is freed for itself, in pieces that depend on the order of everything: a peak is then more than
was ever in use at once. With ``--exact_memory true`` every piece of half a megabyte or more is given back at once
(``MALLOC_MMAP_THRESHOLD_``): peaks are then of what is in use, and steps are slower. Take speed from a run without it.

Arms: ``factor`` and ``block`` are the method ``osft`` with this ``constraint``, through the hooks that a phase calls,
and with the loss of a phase, which never has all logits at once (``--same_loss true``: with that of ``peft``, which is
transformers' plain one); ``peft`` is PEFT's OSF, ``effective_rank`` the same share; ``full`` is the method
``sequential`` on the same linears.
The base has random weights, which are as fast as trained ones; the batch is random tokens, all trained.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import torch
from jsonargparse import auto_cli
from torch import Tensor, nn

WARM_UP = 2
Loss = Callable[[Tensor], Tensor]


def main(
    size: str = "50m",
    rounds: int = 5,
    steps: int = 8,
    rows: int = 8,
    length: int = 256,
    preserve_ratio: float = 0.75,
    threads: int = 1,
    arms: str = "factor,peft",
    exact_memory: bool = False,
    same_loss: bool = False,
    precision: Literal["fp32", "bf16"] = "bf16",
    out: Path | None = None,
    only: str | None = None,
    base: Path | None = None,
) -> None:
    """Compare the arms, or run one of them.

    Args:
        size: size of the base.
        rounds: how often every arm is run.
        steps: timed steps of each run.
        rows: rows of a batch.
        length: tokens of a row.
        preserve_ratio: share of the singular directions that is preserved.
        threads: torch's threads.
        arms: which arms, joined by commas.
        exact_memory: give freed memory back to the system at once.
        same_loss: let growlm's arms compute all logits at once, too.
        precision: of the forward pass, in all arms.
        out: a JSON file to write all measurements to.
        only: run this arm in this process and print what was measured; the comparison uses it.
        base: folder of the base, for ``only``.
    """
    torch.set_num_threads(threads)
    if only is not None:
        assert base is not None
        tell(json.dumps(measured(only, base, steps, rows, length, preserve_ratio, same_loss, precision)))
        return
    chosen = arms.split(",")
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in chosen}
    with tempfile.TemporaryDirectory() as folder:
        save_base(size, Path(folder))
        for number in range(rounds):
            for arm in chosen:
                options: dict[str, object] = {"steps": steps, "rows": rows, "length": length, "threads": threads}
                options |= {"preserve_ratio": preserve_ratio, "only": arm, "base": folder, "same_loss": same_loss}
                options |= {"precision": precision}
                given = [f"--{name}={value}" for name, value in options.items()]
                exact = {"MALLOC_MMAP_THRESHOLD_": "524288"} if exact_memory else {}
                run = subprocess.run(
                    [sys.executable, __file__, *given],
                    check=True,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=os.environ | exact,
                )
                found[arm].append(json.loads(run.stdout.splitlines()[-1]))
                tell(f"round {number + 1} {arm}: {found[arm][-1]}")
    for arm in chosen:
        tell(f"{arm}: " + ", ".join(f"{key} {spread([run[key] for run in found[arm]])}" for key in found[arm][0]))
    if "peft" in chosen:
        for arm in chosen:
            pairs = list(zip(found[arm], found["peft"], strict=True))
            for key in ("tokens_per_second", "tokens_per_processor_second", "peak_gib"):
                ratio = spread([ours[key] / theirs[key] for ours, theirs in pairs])
                tell(f"{arm} to peft, {key}: {ratio}")
    if out is not None:
        out.write_text(json.dumps(found, indent=1))


def save_base(size: str, folder: Path) -> None:
    """Save a base of random weights."""
    from growlm.base.presets import build_base

    build_base(size).save_pretrained(folder)


def measured(
    arm: str, base: Path, steps: int, rows: int, length: int, preserve_ratio: float, same_loss: bool, precision: str
) -> dict[str, float]:
    """Train one arm for a few steps in this process.

    Args:
        arm: which arm.
        base: folder of the base.
        steps: timed steps.
        rows: rows of a batch.
        length: tokens of a row.
        preserve_ratio: share of the singular directions that is preserved.
        same_loss: let growlm's arms compute all logits at once, too.
        precision: ``fp32``, or ``bf16`` for autocast.

    Returns:
        Tokens per second, the process's peak memory in GiB, seconds until the first step, trained parameters.
    """
    begun = time.perf_counter()
    parameters, loss, after_backward, after_step = prepared(arm, base, preserve_ratio, same_loss)
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.0)
    set_up = time.perf_counter() - begun
    generator = torch.Generator().manual_seed(0)
    seconds: list[float] = []
    processor: list[float] = []
    for _ in range(WARM_UP + steps):
        ids_BT = torch.randint(8192, (rows, length), generator=generator)
        step_begun, processor_begun = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            losses = loss(ids_BT)
        losses.backward()
        after_backward()
        optimizer.step()
        after_step()
        seconds.append(time.perf_counter() - step_begun)
        processor.append(time.process_time() - processor_begun)
    return {
        "tokens_per_second": rows * length / statistics.median(seconds[WARM_UP:]),
        "tokens_per_processor_second": rows * length / statistics.median(processor[WARM_UP:]),
        "peak_gib": peak_bytes() / 2**30,
        "set_up_seconds": set_up,
        "trained_parameters": sum(parameter.numel() for parameter in parameters),
    }


Prepared = tuple[list[nn.Parameter], Loss, Callable[[], None], Callable[[], None]]


def prepared(arm: str, base: Path, preserve_ratio: float, same_loss: bool) -> Prepared:
    """Build an arm.

    Returns:
        Its trained parameters, its loss as a function of tokens [B, T], and what it does after the backward pass and
        after the optimizer's step.
    """
    return with_peft(base, preserve_ratio) if arm == "peft" else with_growlm(arm, base, preserve_ratio, same_loss)


def with_peft(base: Path, preserve_ratio: float) -> Prepared:
    """Wrap the linears of the layers with PEFT's OSF; its projection hangs on the gradients."""
    from peft import OSFConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    wrapped = get_peft_model(model, OSFConfig(effective_rank=preserve_ratio, target_modules=targets)).train()
    trained = [parameter for parameter in wrapped.parameters() if parameter.requires_grad]
    return (
        trained,
        lambda ids_BT: plain_loss(wrapped(input_ids=ids_BT, use_cache=False).logits, ids_BT),
        nothing,
        nothing,
    )


def with_growlm(arm: str, base: Path, preserve_ratio: float, same_loss: bool) -> Prepared:
    """Attach a module as a phase does."""
    from growlm.data.batches import Batch, StepBatches
    from growlm.registry import methods, skills
    from growlm.stack.loss import trained_token_losses
    from growlm.stack.stack import ModuleStack

    stack = ModuleStack.from_base(str(base))
    options = {"constraint": arm, "preserve_ratio": preserve_ratio} if arm != "full" else {"weights": "linears"}
    method = methods.build("sequential" if arm == "full" else "osft", options)
    stack.attach("arm", method.build(stack, skills.build("stories")), method.grow_on(stack, ()))
    method.begin(stack, "arm", StepBatches([], 1, 0, pad_id=0))
    trained = declared(stack.module_parameters("arm").values(), method.parameters(stack, "arm"))
    stack.train()

    def loss(ids_BT: Tensor) -> Tensor:
        if same_loss:
            return plain_loss(stack(ids_BT, use_cache=False).logits, ids_BT)
        return trained_token_losses(stack, Batch(ids_BT, ids_BT, ids_BT.numel())).mean()

    return trained, loss, method.after_backward, method.after_step


def plain_loss(logits_BTV: Tensor, ids_BT: Tensor) -> Tensor:
    """Compute the mean cross-entropy of all tokens but the first of each row, from all logits at once."""
    return nn.functional.cross_entropy(logits_BTV[:, :-1].flatten(0, 1), ids_BT[:, 1:].flatten())


def declared(every: Iterable[nn.Parameter], chosen: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Require a gradient of the chosen parameters only, as a phase does."""
    trained = list(chosen)
    for parameter in every:
        parameter.requires_grad_(any(parameter is other for other in trained))
    return trained


def nothing() -> None:
    """Do nothing."""


def peak_bytes() -> int:
    """Read the most memory that this process has held at once."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def spread(values: list[float]) -> str:
    """Write the median of some values and their range."""
    return f"{statistics.median(values):.4g} ({min(values):.4g} to {max(values):.4g})"


def tell(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    auto_cli(main)
