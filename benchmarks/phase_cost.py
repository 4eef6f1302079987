"""What a phase costs, from the first to the tenth, in seconds per step and memory: ``python benchmarks/phase_cost.py``.

For ``--on none`` and ``--on all`` a stack is built with the modules of t - 1 phases, frozen, and the growing one of
phase t; then one training step after another is taken on the same batch, phases and ways in turn, so that whatever else
the machine does falls on all of them alike. Reported are medians, the ratio of the last phase to the first, the
greatest memory of a process that runs that phase alone, the median of several such processes, and how often a part of
an inactive module was called: never. A batch is as long as the examples of the skills are.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from jsonargparse import auto_cli
from torch import nn
from torch.optim import AdamW

from growlm.bench.run.cost import peak_memory
from growlm.data.batches import Batch, collate
from growlm.data.encode import encode
from growlm.files import combined_digest, tensor_digests, write_json
from growlm.manifest.manifest import ModuleRecord
from growlm.methods.grow import DEFAULT_MODULE
from growlm.modules.site import part_owner
from growlm.registry import methods, skills
from growlm.stack.stack import ModuleStack

WAYS = ("none", "all")


@dataclass(frozen=True)
class Setup:
    """What is built for every phase."""

    base: str
    module: dict[str, dict[str, Any]]
    batch_size: int
    device: str


class Step:
    """The training step of one phase.

    Args:
        setup: what is built.
        on: ``none`` or ``all``.
        phase: which phase, from 1.
    """

    def __init__(self, setup: Setup, on: str, phase: int) -> None:
        self.method = methods.build("grow", {"module": setup.module})
        self.stack = ModuleStack.from_base(setup.base).eval()
        skill = skills.build("memory")
        for number in range(1, phase):
            add_frozen(self.stack, f"phase-{number}", self.method.build(self.stack, skill), on)
        kinds = self.method.build(self.stack, skill)
        self.stack.attach("growing", kinds, self.stack.manifest.current() if on == "all" else ())
        nn.Module.to(self.stack, setup.device)
        self.parameters = list(self.stack.module_parameters("growing").values())
        self.optimizer = AdamW(self.parameters, lr=1e-3)
        encoded = [encode(e, self.stack.tokenizer, 512) for e in islice(skill.examples("train"), setup.batch_size)]
        self.batch: Batch = collate(encoded, self.stack.pad_id).to(torch.device(setup.device))
        self.stack.merge_frozen(offload_to=Path(tempfile.gettempdir()))
        self.stack.train()
        self.inactive_calls = 0
        for _, part in inactive_parts(self.stack):
            part.register_forward_pre_hook(self._called)

    def take(self) -> float:
        """Take a step and return its seconds."""
        begin = time.perf_counter()
        self.optimizer.zero_grad()
        self.method.loss(self.stack, self.batch).backward()
        self.optimizer.step()
        if self.batch.input_ids.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    def _called(self, *arguments: object) -> None:
        self.inactive_calls += 1


def add_frozen(stack: ModuleStack, name: str, kinds: dict[str, Any], on: str) -> None:
    """Add a module in place of one of an earlier phase."""
    parents = stack.manifest.current() if on == "all" else ()
    stack.attach(name, kinds, parents)
    tensors = tensor_digests(stack.module_tensors(name))
    stack.freeze(
        ModuleRecord(
            name=name,
            kinds={kind: options.options() for kind, options in kinds.items()},
            parents=parents,
            skill={"name": "memory", "options": {}, "train_digest": ""},
            method={"name": "grow", "options": {}},
            seed=0,
            recipe={},
            parameters=sum(tensor.numel() for tensor in stack.module_tensors(name).values()),
            tensors=tensors,
            digest=combined_digest(tensors),
        )
    )


def inactive_parts(stack: ModuleStack) -> Iterator[tuple[str, nn.Module]]:
    """Yield the parts of modules that are not on the active path, by site."""
    for path, site in stack.sites().items():
        for key, part in site.parts.items():
            if part_owner(key) not in stack.path:
                yield path, part


def peak_of_phase(setup: Setup, on: str, phase: int, threads: int) -> int:
    """Return the greatest number of bytes that this process, or its GPU, has held in three steps of a phase."""
    torch.set_num_threads(threads)
    step = Step(setup, on, phase)
    for _ in range(3):
        step.take()
    peak = peak_memory()
    assert peak is not None, "this system does not tell the memory of a process"
    return peak


def main(
    base: str = "mini",
    module: dict[str, dict[str, Any]] | None = None,
    phases: int = 10,
    every: int = 1,
    rounds: int = 30,
    processes: int = 5,
    batch_size: int = 16,
    threads: int = 1,
    device: str = "cpu",
    out: Path = Path("results/phase_cost.json"),
) -> None:
    """Measure every phase side by side, write the numbers and print them.

    Args:
        base: name of a shipped base, or a folder.
        module: kinds of every phase's module and their options; left out: the default of ``grow``.
        phases: how many phases.
        every: distance of the phases that are measured, from the first on; all of them are held in memory together.
        rounds: steps of each phase that are timed; one more goes before, untimed.
        processes: how many processes measure the memory of the first phase, and of the last.
        batch_size: examples per step.
        threads: CPU threads.
        device: where the steps are taken, such as ``cuda``.
        out: file of the result.
    """
    torch.set_num_threads(threads)
    setup = Setup(base, module or DEFAULT_MODULE, batch_size, device)
    measured = range(1, phases + 1, every)
    steps = {(on, phase): Step(setup, on, phase) for phase in measured for on in WAYS}
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in steps}
    for number in range(rounds + 1):
        for key, step in steps.items():
            taken = step.take()
            if number:
                seconds[key].append(taken)
    calls = sum(step.inactive_calls for step in steps.values())
    tokens = steps[WAYS[0], 1].batch.input_ids.numel()
    steps.clear()
    result: dict[str, Any] = {
        "settings": {**vars(setup), "phases": list(measured), "rounds": rounds, "threads": threads, "tokens": tokens},
        "calls of inactive modules": calls,
    }
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as fresh:
        for on in WAYS:
            medians = [statistics.median(seconds[on, phase]) for phase in measured]
            peaks = {
                phase: [fresh.submit(peak_of_phase, setup, on, phase, threads).result() for _ in range(processes)]
                for phase in (measured[0], measured[-1])
            }
            first, last = (statistics.median(peak) for peak in peaks.values())
            result[on] = {
                "seconds per step": medians,
                "ratio of seconds": medians[-1] / medians[0],
                "peak bytes": peaks,
                "ratio of bytes": last / first,
            }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, result)
    for on in WAYS:
        values = result[on]
        ms = ", ".join(f"{1000 * value:.0f}" for value in values["seconds per step"])
        memory = " and ".join(f"{statistics.median(peak) / 1e6:.0f}" for peak in values["peak bytes"].values())
        sys.stdout.write(
            f"on {on}: {ms} ms per step, last to first {values['ratio of seconds']:.2f}; "
            f"{memory} MB, last to first {values['ratio of bytes']:.2f}\n"
        )
    sys.stdout.write(f"calls of inactive modules: {calls}\n")


if __name__ == "__main__":
    auto_cli(main)
