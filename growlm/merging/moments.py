"""Second moments of what the layers get as input while a skill is run: all that fusing needs to know of its data.

Jin et al. 2023, "Dataless Knowledge Fusion by Merging Weights of Language Models" (arXiv 2212.09849), keep
G = X^T X of every linear, I x I numbers. Here G is kept as its greatest eigenvectors and the diagonal of the rest, as
large as a module of that rank: G ~ U U^T + diag(r). The inputs of a token embedding are tokens, so that its G is
diagonal: how often each of them occurs. All are means over tokens, so that skills with longer examples do not weigh
more. Proved by tests/golden/test_fusion.py.

Shapes: T tokens, I input dim of a linear, K kept eigenvectors, V vocabulary.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

import torch
from torch import Tensor, nn

from growlm.data.batches import collate
from growlm.data.encode import Encoded, encode
from growlm.errors import GrowlmError
from growlm.manifest.recorded_skill import recorded_skill
from growlm.stack.sites import capture_inputs
from growlm.stack.stack import ModuleStack

NUM_KEPT = 64
NUM_EXAMPLES = 128
OFF_DIAGONAL = 0.9  # inner products are multiplied by this, after the paper: those of other data differ

_logger = logging.getLogger(__name__)
_PREFIX = "moments"
_NUM_DRAWN = 8 * NUM_EXAMPLES
_BATCH = 16
_OVERSAMPLED, _ITERATIONS = 32, 4


@torch.no_grad()
def gather_moments(
    stack: ModuleStack, examples: Sequence[Encoded], num_examples: int = NUM_EXAMPLES, num_kept: int = NUM_KEPT
) -> dict[str, Tensor]:
    """Measure the inputs of all linears and of both embeddings, with the active path.

    Args:
        stack: the stack, nothing of it merged.
        examples: a skill's encoded examples.
        num_examples: greatest number of them to measure, evenly spread.
        num_kept: K.

    Returns:
        For each linear ``moments.<site>.factor`` U, [I, K], and ``moments.<site>.rest`` r, [I]; for the token
        embedding ``moments.<site>.counts``, the share of each token, [V].

    Raises:
        GrowlmError: if the base is an encoder-decoder.
    """
    if stack.architecture.has_encoder:
        raise GrowlmError("modules on an encoder-decoder cannot be fused: use them side by side")
    sites = _captured_sites(stack)
    names = {module: site for site, module in sites.items()}
    sums: dict[str, Tensor] = {}
    same: dict[str, str] = {}
    last: list[tuple[Tensor, str]] = []
    real_BT = torch.ones(0)

    def see(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        site, seen = names[module], inputs[0]
        if last and last[0][0] is seen:  # queries, keys and values have one input
            same[site] = last[0][1]
            return
        last[:] = [(seen, site)]
        sums[site] = sums.get(site, 0) + _moment(seen[real_BT], num_embeddings)

    num_embeddings = stack.config.get_text_config().vocab_size
    spread = examples[:: max(1, len(examples) // num_examples)][:num_examples]
    chosen = sorted(spread, key=lambda example: len(example.input_ids))
    with capture_inputs(list(sites.values()), see):
        for begin in range(0, len(chosen), _BATCH):
            rows = chosen[begin : begin + _BATCH]
            batch = collate(rows, stack.pad_id).to(stack.device)
            lengths_B1 = torch.tensor([[len(row.input_ids)] for row in rows], device=stack.device)
            real_BT = torch.arange(batch.input_ids.shape[1], device=stack.device) < lengths_B1
            stack(batch.input_ids, use_cache=False)
            last.clear()
    num_tokens = sum(len(example.input_ids) for example in chosen)
    kept: dict[str, dict[str, Tensor]] = {}
    for site, total in sums.items():
        kept[site] = {"counts": total / num_tokens} if total.dim() == 1 else _largest(total / num_tokens, num_kept)
    kept |= {site: {part: tensor.clone() for part, tensor in kept[first].items()} for site, first in same.items()}
    return {f"{_PREFIX}.{site}.{part}": tensor for site, parts in kept.items() for part, tensor in parts.items()}


def path_moments(stack: ModuleStack, names: Iterable[str]) -> dict[str, dict[str, Tensor]]:
    """Return the moments of the paths of modules: what their methods kept, or measured on their skills' examples.

    Args:
        stack: the stack, nothing of it merged.
        names: names of the modules.

    Returns:
        By module, what ``gather_moments`` returns for its own path.

    Raises:
        GrowlmError: if a module kept none, and has no skill or its training examples are missing.
    """
    found: dict[str, dict[str, Tensor]] = {}
    for name in names:
        found[name] = stack.method_tensors(name)
        if not has_moments(found[name]):
            record = stack.manifest.record(name)
            if not record.skill:
                raise GrowlmError(
                    f"module {name!r} was imported without a skill, whose examples fusing needs: import it with "
                    "--skill, leave it out, or use the modules side by side"
                )
            examples = islice(recorded_skill(record).examples("train"), _NUM_DRAWN)
            _logger.info("measuring the inputs of %s on its skill's examples", name)
            with stack.active(*record.path):
                found[name] = gather_moments(
                    stack, [encode(example, stack.tokenizer, stack.context_length) for example in examples]
                )
    return found


def has_moments(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether the tensors that a method keeps include moments."""
    return any(name.startswith(f"{_PREFIX}.") for name in tensors)


def moment(tensors: Mapping[str, Tensor], site: str, off_diagonal: float = OFF_DIAGONAL) -> Tensor | None:
    """Return the second moment of a site's inputs.

    Args:
        tensors: what ``gather_moments`` returned.
        site: stock path of the site's layer.
        off_diagonal: what the elements off the diagonal are multiplied by, 0 to 1.

    Returns:
        A symmetric positive matrix, [I, I]; for the token embedding its
        diagonal, [V]; None for a layer of another kind.
    """
    name = f"{_PREFIX}.{site}"
    if f"{name}.counts" in tensors:
        return tensors[f"{name}.counts"].double()
    if f"{name}.factor" not in tensors:
        return None
    factor_IK = tensors[f"{name}.factor"].double()
    large_II = factor_IK @ factor_IK.T
    diagonal_I = large_II.diagonal() + tensors[f"{name}.rest"].double()
    return off_diagonal * (large_II - large_II.diagonal().diag()) + diagonal_I.diag()


def _captured_sites(stack: ModuleStack) -> dict[str, nn.Module]:
    architecture, wrapped = stack.architecture, stack.sites()
    paths = (*architecture.linear_sites(None, range(architecture.num_layers)), *architecture.embeddings())
    return {path: wrapped[path] if path in wrapped else architecture.resolve(path) for path in paths}


def _moment(inputs: Tensor, num_tokens: int) -> Tensor:
    if not inputs.is_floating_point():
        return torch.bincount(inputs, minlength=num_tokens).float()
    inputs_TI = inputs.float()
    return inputs_TI.T @ inputs_TI


def _largest(moment_II: Tensor, num_kept: int) -> dict[str, Tensor]:
    """Keep the greatest eigenvectors, times the roots of their eigenvalues, and the diagonal of the rest."""
    basis_IW = _large_subspace(moment_II, num_kept + _OVERSAMPLED)
    values, vectors = torch.linalg.eigh((basis_IW.T @ moment_II.to(basis_IW) @ basis_IW).double())
    factor_IK = basis_IW.double() @ vectors[:, -num_kept:] * values[-num_kept:].clamp(min=0).sqrt()
    rest_I = (moment_II.diagonal() - factor_IK.square().sum(1)).clamp(min=0)
    return {"factor": factor_IK.float().contiguous(), "rest": rest_I.float()}


def _large_subspace(moment_II: Tensor, width: int) -> Tensor:
    """Find a basis that holds the greatest eigenvectors, by subspace iteration: a fraction of the cost of all."""
    if width >= len(moment_II):
        return torch.eye(len(moment_II), dtype=torch.float64, device=moment_II.device)
    basis_IW = torch.randn(len(moment_II), width, generator=torch.Generator().manual_seed(0)).to(moment_II)
    for _ in range(_ITERATIONS):
        basis_IW = torch.linalg.qr(moment_II @ basis_IW).Q
    return basis_IW
