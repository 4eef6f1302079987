"""Sparse memory finetuning: which rows a phase trains, and that no other row moves."""

import math
from typing import Any

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.methods._sampling import sample_texts
from growlm.methods.sparse_memory import SparseMemory, row_scores
from growlm.modules.memory import MemoryPart
from growlm.registry import methods
from growlm.stack.stack import ModuleStack
from tests.golden.conftest import RunPhase, encoded

OPTIONS = {"num_rows": 6, "num_keys": 4, "top_k": 2, "num_texts": 5, "length": 9}
SITE = "model.layers.1"


def test_scores_by_hand() -> None:
    # three background batches: a row that two of them read, one that none reads, one that all read
    scores = row_scores(torch.tensor([4.0, 2.0, 9.0]), torch.tensor([2.0, 0.0, 3.0]), 3)
    torch.testing.assert_close(scores, torch.tensor([4 * math.log(4 / 3), 2 * math.log(4), 0.0]))


def rows_read(stack: ModuleStack, part: MemoryPart, tokens: tuple[int, ...]) -> list[int]:
    """List the rows that a text reads, token by token, from the hidden states that transformers returns."""
    with torch.no_grad(), stack.active():
        hidden = stack.base.base_model(torch.tensor([tokens]), output_hidden_states=True).hidden_states[2]
        return part.read(hidden)[0].flatten().tolist()


def test_the_rows_that_its_inputs_use_most_and_little_else_does(stack: ModuleStack, begin: Any) -> None:
    examples = encoded(3)
    member, _ = begin(stack, "sparse_memory", OPTIONS, "one", examples)
    (part,) = stack.sites()[SITE].parts.values()
    background = [
        set(rows_read(stack, part, text.input_ids)) for text in sample_texts(stack, (), 5, "sparse_memory/0", 9)
    ]
    reads = [row for example in examples for row in rows_read(stack, part, example.input_ids)]
    scores = torch.tensor(
        [reads.count(row) * math.log(6 / (1 + sum(row in seen for seen in background))) for row in range(16)]
    )
    assert isinstance(member, SparseMemory)
    assert set(member._chosen[SITE].flatten().nonzero().flatten().tolist()) == set(scores.topk(6).indices.tolist())
    own = [set(rows_read(stack, part, example.input_ids)) for example in examples]
    assert member._seen[SITE].tolist() == [sum(row in seen for seen in [*background, *own]) for row in range(16)]


def test_no_other_row_moves_and_counts_are_kept(stack: ModuleStack, run_phase: RunPhase, begin: Any) -> None:
    first = run_phase(stack, "sparse_memory", "one", OPTIONS)
    assert isinstance(first, SparseMemory)
    tensors = stack.module_tensors("one")
    moved = tensors[f"memory.{SITE}.values"].abs().sum(1) > 0
    chosen = first._chosen[SITE].flatten().bool()
    assert moved.any()
    assert not (moved & ~chosen).any()
    kept = stack.method_tensors("one")
    assert int(kept["total"]) == 5 + 6
    second, _ = begin(stack, "sparse_memory", OPTIONS, "three", encoded(7))
    assert isinstance(second, SparseMemory)
    assert second._total == 5 + 6 + 6
    assert torch.equal(stack.module_tensors("three")[f"memory.{SITE}.keys"], tensors[f"memory.{SITE}.keys"])


@pytest.mark.parametrize(("option", "value"), [("num_rows", 0), ("num_texts", -1), ("length", 1)])
def test_options_that_make_no_sense(option: str, value: Any) -> None:
    with pytest.raises(GrowlmError, match=f"sparse_memory {option} {value} is too small"):
        methods.build("sparse_memory", {option: value})
