"""The sparse memory against numbers worked by hand and against a search of all rows."""

import math
from pathlib import Path

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.modules.memory import Memory, MemoryPart
from growlm.registry import module_kinds
from growlm.stack.stack import ModuleStack


def test_two_keys_by_hand() -> None:
    part = MemoryPart(2, num_keys=2, query_size=1, top_k=2, generator=None)
    with torch.no_grad():
        part.query.copy_(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]))  # each half reads one dim
        part.keys.copy_(torch.tensor([[[1.0], [-1.0]], [[2.0], [0.0]]]))
        part.values.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0], [7.0, 7.0]]))
    # rms of (1, 1) is 1: scores of the halves are (1, -1) and (2, 0), of the pairs 3, 1, 1, -1
    rows, weights = part.read(torch.tensor([1.0, 1.0]))
    first = 1 / (1 + math.exp(-2))
    assert rows.tolist()[0] == 0
    assert rows.tolist()[1] in (1, 2)
    torch.testing.assert_close(weights, torch.tensor([first, 1 - first]), atol=1e-4, rtol=1e-4)


def test_product_keys_find_the_best_of_all_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    part = MemoryPart(6, num_keys=5, query_size=4, top_k=3, generator=generator)
    hidden = torch.randn(2, 7, 6, generator=generator)
    with torch.no_grad():
        part.values.copy_(torch.randn(25, 6, generator=generator))
    normed = hidden / hidden.square().mean(-1, keepdim=True).sqrt()
    scores = torch.stack(
        [
            (normed @ part.query[0].T) @ part.keys[0, row // 5] + (normed @ part.query[1].T) @ part.keys[1, row % 5]
            for row in range(25)
        ],
        -1,
    )
    best, rows = scores.topk(3, -1)
    assert torch.equal(part.read(hidden)[0], rows)
    expected = hidden + (best.softmax(-1)[..., None] * part.values[rows]).sum(-2)
    torch.testing.assert_close(part(torch.zeros(2, 7, 6), hidden), expected, rtol=1e-4, atol=1e-4)


def test_places_and_bounds(tiny_bases: dict[str, Path]) -> None:
    stack = ModuleStack.from_base(str(tiny_bases["llama"]))
    stack.attach("first", {"memory": Memory()})
    assert list(stack.sites()) == ["model.layers.1"]
    stack.attach("second", {"memory": module_kinds.build("memory", {"layers": [0, 3]})})
    assert set(stack.sites()) == {f"model.layers.{layer}" for layer in (0, 1, 3)}
    with pytest.raises(GrowlmError, match="memory top_k 9 is more than num_keys 8: give less"):
        Memory(num_keys=8, top_k=9)
