import pytest
import torch

from growlm.pretrain.loss import chunked_cross_entropy


def reference(hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy((hidden @ weight.T).flatten(0, -2), labels.flatten())


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_loss_and_gradients_equal_those_of_the_whole(chunk: int) -> None:
    hidden = torch.randn(3, 7, 16, requires_grad=True)
    weight = torch.randn(50, 16, requires_grad=True)
    labels = torch.randint(0, 50, (3, 7))
    labels[0, :3] = -100
    loss = chunked_cross_entropy(hidden, weight, labels, chunk)
    expected = reference(hidden, weight, labels)
    torch.testing.assert_close(loss, expected)
    got = torch.autograd.grad(2 * loss, (hidden, weight))
    wanted = torch.autograd.grad(2 * expected, (hidden, weight))
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_a_frozen_weight_gets_no_gradient() -> None:
    hidden = torch.randn(5, 8, requires_grad=True)
    chunked_cross_entropy(hidden, torch.randn(20, 8), torch.randint(0, 20, (5,))).backward()
    assert hidden.grad is not None


def test_only_ignored_labels_give_zero() -> None:
    hidden = torch.randn(5, 8, requires_grad=True)
    loss = chunked_cross_entropy(hidden, torch.randn(20, 8), torch.full((5,), -100))
    loss.backward()
    assert loss == 0
    assert hidden.grad.abs().sum() == 0


def test_autocast_is_followed() -> None:
    hidden, weight = torch.randn(6, 8, requires_grad=True), torch.randn(20, 8, requires_grad=True)
    labels = torch.randint(0, 20, (6,))
    with torch.autocast("cpu", torch.bfloat16):
        loss = chunked_cross_entropy(hidden, weight, labels)
    loss.backward()
    assert loss.dtype == hidden.grad.dtype == weight.grad.dtype == torch.float32
    torch.testing.assert_close(loss, reference(hidden, weight, labels), rtol=2e-2, atol=2e-2)
    assert loss != reference(hidden, weight, labels)  # it did compute in bf16
