import copy

import torch
from torch import nn

from growlm.pretrain.muon import Muon
from growlm.pretrain.optimizers import Together, muon_and_adamw, set_learning_rate


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 4))


def build(model: nn.Module, muon_lr: float | None = 0.02) -> torch.optim.Optimizer:
    return muon_and_adamw(model, muon_lr, 0.001, 0.1, torch.float32)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for step in range(steps):
        loss = model(torch.tensor([step % 10, 3])).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_inner_matrices_go_to_muon_and_all_the_rest_to_adamw() -> None:
    model = small()
    optimizer = build(model)
    assert isinstance(optimizer, Together)
    muon, adamw = optimizer.members
    assert isinstance(muon, Muon)
    assert [tuple(p.shape) for p in muon.param_groups[0]["params"]] == [(8, 8), (4, 8)]
    assert len(adamw.param_groups[0]["params"]) == 5
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 0.001]


def test_without_a_rate_for_muon_adamw_takes_the_matrices() -> None:
    optimizer = build(small(), muon_lr=None)
    assert [group["lr"] for group in optimizer.param_groups] == [0.001, 0.001]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]


def test_frozen_parameters_are_left_out() -> None:
    model = small()
    model[1].requires_grad_(False)
    taken = [p for group in build(model).param_groups for p in group["params"]]
    assert not any(p is q for p in taken for q in model[1].parameters())


def test_a_learning_rate_set_on_the_whole_reaches_the_members() -> None:
    model = small()
    optimizer = build(model)
    set_learning_rate(optimizer, 0.0)
    before = copy.deepcopy(model.state_dict())
    train(model, optimizer, 2)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_restored_state_goes_on_bit_for_bit() -> None:
    model = small()
    optimizer = build(model)
    train(model, optimizer, 3)
    other = copy.deepcopy(model)
    restored = build(other)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one in (optimizer, restored):
        set_learning_rate(one, 0.5)
    train(model, optimizer, 3)
    train(other, restored, 3)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
