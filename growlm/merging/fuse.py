"""Fusing: the modules of a path as one change of weights, each of them right for the inputs of its own skill.

Modules that were learned apart do not know of each other; adding up what they change counts twice what all of them
need. Regression mean (Jin et al. 2023, arXiv 2212.09849) finds in closed form the weights that do to the inputs
of each skill what that skill's own path does to them, as nearly as can be:

    D = (sum_p D_p G_p) (sum_p G_p)^-1, which makes sum_p tr (D - D_p) G_p (D - D_p)^T least,

with D_p what the path of skill p changes of a weight and G_p the second moment of that linear's inputs on it. A token
embedding has a diagonal G: every row is the mean of the paths' rows, weighted by how often the skills have the token.
What has no moment, such as a norm's weight, gets the plain mean. Proved by tests/golden/test_fusion.py.

Shapes: I input dim, O output dim, V vocabulary, D hidden.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from growlm.errors import GrowlmError
from growlm.manifest.path import joint_path, own_path
from growlm.merging.moments import OFF_DIAGONAL, has_moments, moment, path_moments
from growlm.stack.stack import ModuleStack

Moments = Mapping[str, Mapping[str, Tensor]]
"""By module, what ``gather_moments`` returned for its path."""

_RIDGE = 1e-6  # of the mean of the diagonal: a direction in which no skill has inputs


@torch.no_grad()
def fuse(
    stack: ModuleStack, names: Sequence[str], moments: Moments | None = None, off_diagonal: float = OFF_DIAGONAL
) -> None:
    """Activate the paths of some modules and run them as one in every site, until ``stack.unmerge``.

    Args:
        stack: the stack.
        names: the modules, each for the skill that it was grown for; what they were grown on comes with them.
        moments: for each of them, the second moments of the inputs on its own path; None: what ``path_moments``
            returns.
        off_diagonal: what inner products of different inputs are multiplied by; see ``moment``.

    Raises:
        GrowlmError: for an unknown name, a module that is not a change of weights, moments that cannot be measured, or
            a base that is held in fewer bits.
    """
    if stack.quantization is not None:
        raise GrowlmError("nothing can be added to weights in 8 or 4 bits: load the stack without quantization")
    stack.unmerge()
    stack.set_path(joint_path(names, stack.parents()))
    paths = {name: own_path(name, stack.parents()) for name in names}
    for site in stack.sites().values():
        site.check_fusable()
    moments = path_moments(stack, names) if moments is None else moments
    for name in paths:
        if not has_moments(moments.get(name, {})):
            raise GrowlmError(
                f"no moments of the inputs of module {name!r}: give what gather_moments measured on its path"
            )
    for site_path, site in stack.sites().items():
        changes = site.changes()
        if not changes:
            continue
        fused: dict[str, Tensor] = {}
        for parameter in dict.fromkeys(parameter for change in changes.values() for parameter in change):
            original = site.original.get_parameter(parameter)
            by_path = {
                name: sum((changes[m][parameter] for m in path if m in changes), torch.zeros_like(original)).double()
                for name, path in paths.items()
            }
            grams: dict[str, Tensor] = {}
            for name in paths if parameter == "weight" else ():
                gram = moment(moments[name], site_path, off_diagonal)
                if gram is not None:
                    grams[name] = gram
            if grams.keys() == paths.keys():
                change = _fused_weight(by_path, grams, isinstance(site.original, Conv1D))
            else:
                change = torch.stack([*by_path.values()]).mean(0)
            fused[parameter] = change.to(original.dtype)
        site.override_weights(fused)


@contextmanager
def fused(
    stack: ModuleStack, *names: str, moments: Moments | None = None, off_diagonal: float = OFF_DIAGONAL
) -> Iterator[ModuleStack]:
    """Run the paths of some modules as one fused change of weights, for a ``with`` block.

    Args:
        stack: the stack.
        *names: the modules, each for the skill that it was grown for; what they were grown on comes with them.
        moments: for each of them, the second moments of the inputs on its own path; None: what its method kept, or
            measured on the skill's examples.
        off_diagonal: what inner products of different inputs are multiplied by.

    Raises:
        GrowlmError: for an unknown name, a module that is not a change of weights, or moments that cannot be measured.
    """
    with stack.active(), stack.restoring_merged():
        fuse(stack, names, moments, off_diagonal)
        yield stack


def _fused_weight(changes: Mapping[str, Tensor], grams: Mapping[str, Tensor], transposed: bool) -> Tensor:
    total = torch.stack([*grams.values()]).sum(0)
    if total.dim() == 1:
        plain_VD = torch.stack([*changes.values()]).mean(0)  # of tokens that none of the skills has
        weighted_VD = sum((gram[:, None] * changes[name] for name, gram in grams.items()), torch.zeros_like(plain_VD))
        return torch.where(total[:, None] > 0, weighted_VD / total.clamp(min=1e-30)[:, None], plain_VD)
    changes_OI = {name: change.T if transposed else change for name, change in changes.items()}
    weighted_OI = torch.stack([changes_OI[name] @ gram for name, gram in grams.items()]).sum(0)
    total += _RIDGE * total.diagonal().mean() * torch.eye(len(total), dtype=total.dtype, device=total.device)
    fused_OI = torch.linalg.solve(total, weighted_OI.T).T
    return fused_OI.T if transposed else fused_OI
