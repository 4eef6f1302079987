"""The loss of the trained tokens, with little kept for the backward pass.

There are no logits for other tokens and never many at once: they are by far the largest tensors of a step.

Outputs of activation functions are computed again. A gated feed-forward part keeps three tensors of its inner width in
every layer: the input of its activation function, the output, and what this is multiplied with. The output follows
from the input at little cost, and is a sixth of all that a pass through a Llama-like base with frozen weights keeps.
(Selective recomputation: Korthikanti et al. 2022, arXiv 2205.05198.)
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.activations import ACT2CLS

from growlm.data.batches import IGNORED, ROW_MULTIPLE, Batch
from growlm.stack.stack import ModuleStack

_MOST_LOGITS = 2**22
"""Greatest number of logits at once: 16 MiB in fp32, those of 512 tokens of a vocabulary of 8,192."""

_CLASSES = (entry[0] if isinstance(entry, tuple) else entry for entry in ACT2CLS.values())
_ACTIVATIONS = tuple({found for found in _CLASSES if isinstance(found, type)})


def trained_token_losses(stack: ModuleStack, batch: Batch) -> Tensor:
    """Compute the cross-entropy of each trained token of a batch with the active path.

    Logits are by far the largest tensors of a step: those of many tokens are computed piece by piece, and again for the
    backward pass.

    Args:
        stack: the stack.
        batch: the batch.

    Returns:
        Losses in nats, [N] for the batch's N trained tokens, by row and position.
    """
    hidden_ND, targets_N = _trained_hidden(stack, batch)
    num_trained, path = len(targets_N), stack.path
    # a CPU's library generates code for each new number of rows, which takes longer than the product
    padding = -num_trained % ROW_MULTIPLE
    hidden_ND = nn.functional.pad(hidden_ND, (0, 0, 0, padding))
    targets_N = nn.functional.pad(targets_N, (0, padding), value=IGNORED)

    def losses(hidden_ND: Tensor, targets_N: Tensor) -> Tensor:
        with stack.active(*path, closed=False):  # the backward pass may run when another path is active
            logits_NV = stack.logits(hidden_ND).float()
            return nn.functional.cross_entropy(logits_NV, targets_N, reduction="none", ignore_index=IGNORED)

    piece = max(1, _MOST_LOGITS // int(stack.config.get_text_config().vocab_size))
    if len(targets_N) <= piece:
        return losses(hidden_ND, targets_N)[:num_trained]
    pieces = zip(hidden_ND.split(piece), targets_N.split(piece), strict=True)
    # nothing in it is random, so there is no random state to keep for the second time
    found = [checkpoint(losses, *given, use_reentrant=False, preserve_rng_state=False) for given in pieces]
    return torch.cat(found)[:num_trained]


def trained_logits(stack: ModuleStack, batch: Batch) -> tuple[Tensor, Tensor]:
    """Compute the logits from which each trained token of a batch is predicted, with the active path.

    Args:
        stack: the stack.
        batch: the batch.

    Returns:
        The logits in fp32, [N, V] for the batch's N trained tokens, by row and position, and these tokens, [N].
    """
    hidden_ND, targets_N = _trained_hidden(stack, batch)
    return stack.logits(hidden_ND).float(), targets_N


def _trained_hidden(stack: ModuleStack, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the final hidden states that predict the trained tokens, [N, D], and these tokens, [N]."""
    # compiled layers decide by themselves what to keep
    with recomputed_activations(stack) if stack.compiled_path is None else nullcontext():
        hidden_BTD = stack.hidden_states(batch.input_ids, position_ids=batch.position_ids)
    targets_BT = batch.labels[:, 1:]
    trained_BT = targets_BT != IGNORED
    return hidden_BTD[:, :-1][trained_BT], targets_BT[trained_BT]


@contextmanager
def recomputed_activations(model: nn.Module) -> Iterator[None]:
    """Keep no output of an activation function for the backward pass, for a ``with`` block around the forward pass.

    Gradients are the same bit for bit.

    Args:
        model: the model whose activation functions these are.
    """
    if not torch.is_grad_enabled():
        yield
        return
    keeper = _Keeper()
    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, _ACTIVATIONS):
                stack.callback(module.register_forward_hook(keeper.ran).remove)
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(keeper.pack, _unpack))
        yield


class _Keeper:
    """Knows the last output of an activation function, to keep how it is computed in its place."""

    def __init__(self) -> None:
        self._output: Callable[[], Tensor | None] = lambda: None
        self._again: Callable[[], Tensor] | None = None

    def ran(self, function: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self._output = ref(output)
        self._again = lambda: function.forward(*inputs)  # not called: the hooks of a pass are not for a second one

    def pack(self, tensor: Tensor) -> Any:
        output, again = self._output(), self._again
        if output is None or again is None or not _same_numbers(tensor, output):
            return tensor
        shape = tensor.shape
        return lambda: again().view(shape)


def _same_numbers(tensor: Tensor, output: Tensor) -> bool:
    """Return whether a tensor is an output that is still there, or the same numbers in another shape."""
    if tensor.data_ptr() != output.data_ptr() or tensor.numel() != output.numel():
        return False
    return tensor.is_contiguous() and output.is_contiguous()


def _unpack(kept: Any) -> Tensor:
    return kept if isinstance(kept, Tensor) else kept()
