import pytest
import torch
from torch import nn

from growlm.pretrain.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(8, 12), (12, 8), (8, 8)])
def test_in_bf16_a_step_is_that_of_torch(shape: tuple[int, int]) -> None:
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("torch has Muon from 2.9")
    torch.manual_seed(0)
    ours = nn.Parameter(torch.randn(shape))
    theirs = nn.Parameter(ours.detach().clone())
    optimizers = Muon([ours], lr=0.02), torch.optim.Muon([theirs], lr=0.02)
    for _ in range(3):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("shape", [(8, 12), (12, 8)])
def test_singular_values_move_near_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    found = orthogonalize(left @ torch.diag(torch.linspace(0.2, 3, 8)) @ right, torch.float32)
    values = left.T @ found @ right.T
    torch.testing.assert_close(values, torch.diag(values.diagonal()), atol=1e-4, rtol=0)
    assert 0.5 < float(values.diagonal().min()) <= float(values.diagonal().max()) < 1.5


def test_what_is_not_asked_for_stays_as_it_was() -> None:
    gradient = torch.randn(4, 4)
    before = gradient.clone()
    orthogonalize(gradient, torch.float32)
    assert torch.equal(gradient, before)
    untouched = nn.Parameter(torch.ones(4, 4))
    Muon([untouched], lr=0.02).step()
    assert torch.equal(untouched, torch.ones(4, 4))
