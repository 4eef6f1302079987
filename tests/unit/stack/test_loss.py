"""The loss of the trained tokens: the same piece by piece as at once, whatever path is active when it is derived."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from growlm.data.batches import IGNORED, ROW_MULTIPLE, Batch
from growlm.modules.embedding import Embedding
from growlm.stack import loss
from growlm.stack.loss import trained_logits, trained_token_losses


def batch() -> Batch:
    ids_BT = torch.randint(6, 300, (3, 11), generator=torch.Generator().manual_seed(0))
    labels_BT = torch.where(torch.arange(11) % 3 == 0, IGNORED, ids_BT)
    return Batch(ids_BT, labels_BT, ids_BT.numel())


@pytest.fixture
def stack(new_stack: Callable[..., Any]) -> Any:
    """A stack with a growing module that changes the output embedding."""
    made = new_stack(modules=())
    made.attach("first", {"embedding": Embedding(rank=2, outputs=True)})
    with torch.no_grad():
        for parameter in made.module_parameters("first").values():
            parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    return made.train()


def gradients(stack: Any, losses_N: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(losses_N.mean(), list(stack.module_parameters("first").values())))


def test_it_is_the_cross_entropy_of_the_trained_tokens(stack: Any) -> None:
    logits_NV, targets_N = trained_logits(stack, batch())
    assert len(targets_N) == int((batch().labels[:, 1:] != IGNORED).sum())
    expected = nn.functional.cross_entropy(
        stack(batch().input_ids).logits[:, :-1].flatten(0, 1), batch().labels[:, 1:].flatten()
    )
    torch.testing.assert_close(nn.functional.cross_entropy(logits_NV, targets_N), expected)
    torch.testing.assert_close(trained_token_losses(stack, batch()).mean(), expected)


def counted_rows(stack: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that every call of a stack's head appends its number of rows to."""
    shapes: list[int] = []
    counted = stack.logits

    def logits(hidden: torch.Tensor) -> torch.Tensor:
        shapes.append(len(hidden))
        return torch.Tensor(counted(hidden))

    monkeypatch.setattr(stack, "logits", logits)
    return shapes


def test_the_head_sees_few_different_numbers_of_rows(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = counted_rows(stack, monkeypatch)
    losses_N = trained_token_losses(stack, batch())
    assert len(losses_N) % ROW_MULTIPLE
    assert shapes == [ROW_MULTIPLE]


def test_pieces_give_the_same(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_N = trained_token_losses(stack, batch())
    expected = gradients(stack, whole_N)
    shapes = counted_rows(stack, monkeypatch)
    monkeypatch.setattr(loss, "_MOST_LOGITS", 5 * stack.config.vocab_size)
    pieces_N = trained_token_losses(stack, batch())
    assert sum(shapes) == ROW_MULTIPLE
    assert max(shapes) == 5
    torch.testing.assert_close(pieces_N, whole_N)
    with stack.active():  # the second time they are computed, too, it is with the path of the first
        found = gradients(stack, pieces_N)
    assert sum(shapes) == 2 * ROW_MULTIPLE
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
