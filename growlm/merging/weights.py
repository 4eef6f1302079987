"""What a linear's weight is with a path active: the base's own and the changes of the path's modules."""

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from growlm.manifest.path import Path
from growlm.modules._directions import linear_weight
from growlm.modules.site import Part, part_owner

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


@torch.no_grad()
def effective_weight(stack: "ModuleStack", site: str, path: Path) -> Tensor:
    """Computes the weight by which a linear of the base multiplies its input with a path active.

    Args:
        stack: the stack.
        site: the linear's stock path.
        path: the path.

    Returns:
        The weight in fp64, [O, I].

    Raises:
        GrowlmError: if a part on the path does something else to the linear than change its weight.
    """
    weight_OI = linear_weight(stack.architecture.resolve(site)).double()
    wrapped = stack.sites().get(site)
    for key, part in () if wrapped is None else wrapped.parts.items():
        if part_owner(key) in path:
            weight_OI = weight_OI + cast(Part, part).delta_weight().double()
    return weight_OI
