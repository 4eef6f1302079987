"""What a phase costs, beside its scores."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from growlm.manifest.manifest import METHOD_FILE, TENSOR_FILE
from growlm.manifest.path import Path as StackPath
from growlm.registry import module_kinds
from growlm.stack.stack import ModuleStack

_CLEAR_REFS, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_RESET_PEAK = "5"
DIFFERENCE = "dense"
"""The kind of module whose tensors have the shapes of the base's weights and are added to them."""


def phase_cost(
    stack: ModuleStack, name: str, folder: Path, wall_seconds: float, peak_bytes: int | None
) -> dict[str, Any]:
    """Account for a phase.

    Tokens are real ones, without padding. FLOPs are an estimate by the usual accounting: for every token and every
    parameter that acts on it 2 forward and 2 for the gradient of the activations, and 2 per trained parameter for its
    own gradient, so that full fine-tuning of N parameters takes 6 N (Kaplan et al. 2020, arXiv 2001.08361). Rows that
    the loss looks at besides those of the batches, such as a teacher's, count as forward passes over as many tokens as
    a row has on average. Attention's own products are left out, and so are estimates of importance and sampling.

    Args:
        stack: the stack with the phase's module frozen.
        name: the module.
        folder: the stack's folder.
        wall_seconds: seconds from attaching to saving, scoring included.
        peak_bytes: greatest memory meanwhile, if it is known.

    Returns:
        ``name``, ``steps``, ``tokens``, ``rows``, ``replayed_rows`` (of these, from earlier skills), ``generated_rows``
        (what a model has written to be learned from), ``kept_rows`` and ``kept_bytes`` (what lies in the stack beside
        weights, for later phases or to be read with every prompt), ``seconds`` of training, ``wall_seconds``,
        ``trained`` and ``added`` parameters, ``active`` parameters of the module's path with the base,
        ``stored_bytes`` of all modules that no other has superseded, ``flops``, ``peak_bytes``, and ``losses``: pairs
        of a step and the mean loss up to it.
    """
    record = stack.manifest.record(name)
    cost = record.cost
    active = active_parameters(stack, record.path)
    return {
        "name": name,
        "steps": cost["steps"],
        "tokens": cost["tokens"],
        "rows": cost["rows"],
        "replayed_rows": cost.get("replayed_rows", cost.get("old rows", 0)),
        "generated_rows": cost.get("generated_rows"),
        "kept_rows": cost.get("kept_rows"),
        "kept_bytes": _kept_bytes(stack, folder),
        "seconds": cost["seconds"],
        "wall_seconds": round(wall_seconds, 1),
        "trained": cost["trained"],
        "added": record.parameters,
        "active": active,
        "stored_bytes": _stored_bytes(stack, folder),
        "flops": flops(cost, acting_parameters(stack, record.path)),
        "peak_bytes": peak_bytes,
        "losses": cost["losses"],
    }


def flops(cost: Mapping[str, Any], acting: int) -> float:
    """Estimate the FLOPs of a phase; see ``phase_cost``.

    Args:
        cost: the module's record of it: ``tokens``, ``rows``, ``trained`` parameters and ``extra_forward_rows``.
        acting: how many parameters act on a token.
    """
    tokens, extra = cost["tokens"], cost.get("extra_forward_rows", 0)
    beside = tokens * extra / max(1, cost["rows"] - extra)
    return float(tokens * (4 * acting + 2 * cost["trained"]) + beside * 2 * acting)


def active_parameters(stack: ModuleStack, path: StackPath) -> int:
    """Count the parameters of the base and of a path's modules."""
    sizes = {record.name: record.parameters for record in stack.manifest.modules}
    return stack.manifest.base.parameters + sum(sizes[name] for name in path)


def acting_parameters(stack: ModuleStack, path: StackPath) -> int:
    """Count the parameters that act on a token: a full difference acts as one with the weight it is added to."""
    differences = sum(
        tensor.numel()
        for name in path
        for key, tensor in stack.module_tensors(name).items()
        if key.startswith(f"{DIFFERENCE}.")
    )
    return active_parameters(stack, path) - differences


def reset_peak_memory() -> None:
    """Start measuring the greatest memory of this process, or of its GPU."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif _CLEAR_REFS.exists():
        try:
            _CLEAR_REFS.write_text(_RESET_PEAK)
        except OSError:
            return  # a container may forbid it: then the peak is the process's since it began


def peak_memory() -> int | None:
    """Return the greatest memory since ``reset_peak_memory``, in bytes; None where the system does not report it."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    if not _STATUS.exists():
        return None
    line = next((line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:")), None)
    return None if line is None else 1024 * int(line.split()[1])


def _stored_bytes(stack: ModuleStack, folder: Path) -> int:
    return sum(
        _size(stack, folder, name, file) for name in stack.manifest.current() for file in (TENSOR_FILE, METHOD_FILE)
    )


def _kept_bytes(stack: ModuleStack, folder: Path) -> int:
    """Add up what methods keep for later phases, and modules that are examples themselves."""
    current = stack.manifest.current()
    kinds = {name: stack.manifest.record(name).kinds for name in current}
    examples = [name for name, own in kinds.items() if any(module_kinds.get(kind).holds_examples for kind in own)]
    kept = sum(_size(stack, folder, name, METHOD_FILE) for name in current)
    return kept + sum(_size(stack, folder, name, TENSOR_FILE) for name in examples)


def _size(stack: ModuleStack, folder: Path, name: str, file: str) -> int:
    path = folder / stack.manifest.folder_of(name) / file
    return path.stat().st_size if path.exists() else 0
