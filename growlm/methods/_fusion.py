"""Joining what a phase changed with what was there before, unit by unit or element by element.

The static weights are TaSL's (arXiv 2408.09857), the softmax KIF's (arXiv 2408.05200), the masks of task vectors
Recurrent-KIF's (arXiv 2502.17510). Proved by tests/golden/test_kif.py and tests/golden/test_recurrent_kif.py.
"""

import torch
from torch import Tensor


def static_share(earlier: Tensor, new: Tensor, both: float = 0.3, neither: float = 0.5) -> Tensor:
    """Decides by which units are important what share of a unit comes from the new values.

    Args:
        earlier: whether each unit is important to the earlier skills, bool.
        new: whether it is to the new one, bool, of the same shape.
        both: the new values' share where it is important to both.
        neither: their share where it is to neither.

    Returns:
        The share of the new values: 1 where only the new skill needs the unit, 0 where only earlier ones do.
    """
    shares = torch.full_like(earlier, neither, dtype=torch.float32)
    shares[new & ~earlier], shares[earlier & ~new], shares[earlier & new] = 1.0, 0.0, both
    return shares


def softmax_share(earlier: Tensor, new: Tensor, temperature: float = 0.25) -> Tensor:
    """Decides by how important units are what share of a unit comes from the new values.

    Args:
        earlier: importance of each unit to the earlier skills, normalised.
        new: its importance to the new one, of the same shape.
        temperature: τ; the smaller, the closer to the one or the other.

    Returns:
        The new values' share, the second entry of softmax([earlier, new] / τ).
    """
    return torch.sigmoid((new - earlier) / temperature)


def fused(earlier: Tensor, new: Tensor, share: Tensor) -> Tensor:
    """Mixes the values of before with the new ones; with a share of 0 or 1 the one or the other, bit for bit.

    Args:
        earlier: values before the phase.
        new: values after it, of the same shape.
        share: the new values' share, of a shape that broadcasts to theirs.
    """
    return torch.lerp(earlier, new, share.to(new.dtype).expand_as(new))


def fused_round(start: Tensor, inner: Tensor, outer: Tensor, inner_weight: Tensor, outer_weight: Tensor) -> Tensor:
    """Adds what two loops changed to the values that they began with: θ + m_in τ_in + m_out τ_out.

    Args:
        start: θ, values before the inner loop.
        inner: values after it; τ_in is their difference to θ.
        outer: values after the outer loop, which went on from there; τ_out is their difference to ``inner``.
        inner_weight: m_in, of the same shape, or one number for all.
        outer_weight: m_out, likewise.
    """
    return start + inner_weight * (inner - start) + outer_weight * (outer - inner)


def mask_weights(inner: Tensor, outer: Tensor, both: float = 0.4, neither: float = 0.5) -> tuple[Tensor, Tensor]:
    """Decides by which elements are important how much of each loop's change is kept.

    Args:
        inner: whether each element is important to the new skill, bool.
        outer: whether it is to the earlier ones, bool, of the same shape.
        both: the share of the inner change where it is important to both; the outer change has the rest.
        neither: the share of the inner change where it is to neither; likewise.

    Returns:
        The weights of the inner and the outer change, which add up to 1.
    """
    inner_weight = static_share(outer, inner, both, neither)
    return inner_weight, 1 - inner_weight
