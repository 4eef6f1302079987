"""Muon for the matrices inside a model, AdamW for all the rest, as one optimizer."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from growlm.pretrain.muon import Muon


class Together(torch.optim.Optimizer):
    """Several optimizers over disjoint parameters that step as one.

    Lightning's automatic optimization, checkpoints and clipping see one optimizer; ``param_groups`` are those of the
    members in their order.

    Args:
        members: the optimizers.
    """

    def __init__(self, members: list[torch.optim.Optimizer]) -> None:
        self.members = members
        super().__init__([p for member in members for group in member.param_groups for p in group["params"]], {})
        self._share_groups()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step with each member, after one call of the closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for member in self.members:
            member.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the members' states."""
        return {"members": [member.state_dict() for member in self.members]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the members' states."""
        for member, state in zip(self.members, state_dict["members"], strict=True):
            member.load_state_dict(state)
        self._share_groups()

    def _share_groups(self) -> None:
        # the same dictionaries, so that a learning rate set here is the member's
        self.param_groups = [group for member in self.members for group in member.param_groups]


def muon_and_adamw(
    model: nn.Module, muon_lr: float | None, adamw_lr: float, weight_decay: float, muon_dtype: torch.dtype
) -> torch.optim.Optimizer:
    """Build Muon for a transformer's inner matrices and AdamW for embeddings and vectors.

    Args:
        model: the model; embeddings are recognised by their type.
        muon_lr: learning rate of the matrices; None: AdamW takes them as well, at its own rate.
        adamw_lr: learning rate of embeddings, norms and biases, which do not decay.
        weight_decay: decoupled weight decay of the matrices.
        muon_dtype: the type of numbers in which Muon makes its updates orthogonal.

    Returns:
        The optimizer; every group has its peak rate as ``initial_lr``.
    """
    embeddings = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    matrices: list[Tensor] = []
    rest: list[Tensor] = []
    for parameter in model.parameters():
        if parameter.requires_grad:
            (matrices if parameter.ndim == 2 and id(parameter) not in embeddings else rest).append(parameter)
    first = (
        torch.optim.AdamW(matrices, lr=adamw_lr, betas=(0.9, 0.95), weight_decay=weight_decay)
        if muon_lr is None
        else Muon(matrices, muon_lr, weight_decay, dtype=muon_dtype)
    )
    optimizer = Together([first, torch.optim.AdamW(rest, lr=adamw_lr, betas=(0.9, 0.95), weight_decay=0.0)])
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to its peak, ``initial_lr``, times a factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
