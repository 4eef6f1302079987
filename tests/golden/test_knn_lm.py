"""kNN-LM: the mixture by hand, what the memory holds after phases, and what a step trains."""

import math
from typing import Any

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.methods.knn_lm import KnnLm
from growlm.modules.nearest import NearestPart
from growlm.registry import module_kinds
from growlm.stack.stack import ModuleStack
from tests.golden.conftest import RunPhase, encoded

OPTIONS = {"capacity": 12, "top_k": 3}


def memory(stack: ModuleStack, name: str) -> NearestPart:
    (part,) = (
        part
        for site in stack.sites().values()
        for part in site.parts.values()
        if isinstance(part, NearestPart) and part.owner == name
    )
    return part


def contexts(stack: ModuleStack, seed: int) -> list[tuple[torch.Tensor, int]]:
    """Compute the state before each trained token of some examples, one example at a time, and the token."""
    found = []
    for example in encoded(seed):
        with torch.no_grad(), stack.active():
            hidden = stack.base.base_model(torch.tensor([example.input_ids])).last_hidden_state[0]
        found += [(hidden[at - 1], example.input_ids[at]) for at in range(2, len(example.input_ids))]
    return found


@pytest.mark.parametrize("training", [False, True])
def test_the_mixture_by_hand(training: bool) -> None:
    part = NearestPart(6, 4, top_k=2, weight=0.25).train(training)
    generator = torch.Generator().manual_seed(0)
    keys, tokens = torch.randn(4, 4, generator=generator), [300, 7, 300, 70_000]
    part.write(keys, torch.tensor(tokens))
    with torch.no_grad():
        part.temperature.fill_(math.log(2.0))
    hidden, logits = torch.randn(1, 3, 4, generator=generator), torch.randn(1, 3, 70_001, generator=generator)
    found = part(hidden, logits)
    for at in range(3):
        distances = sorted(
            ((hidden[0, at] - key).square().sum().item(), token) for key, token in zip(keys, tokens, strict=True)
        )
        read = distances[1:3] if training else distances[:2]
        total = sum(math.exp(-distance / 2) for distance, _ in read)
        expected = 0.75 * logits[0, at].softmax(-1)
        for distance, token in read:
            expected[token] += 0.25 * math.exp(-distance / 2) / total
        torch.testing.assert_close(found[0, at].exp(), expected)


def test_an_empty_memory_changes_nothing() -> None:
    logits = torch.randn(2, 3, 9)
    assert NearestPart(6, 4, top_k=2, weight=0.25)(torch.randn(2, 3, 4), logits) is logits


def test_half_precision_holds_every_token() -> None:
    part = NearestPart(3, 4, top_k=1, weight=0.5).to(torch.bfloat16)
    part.write(torch.ones(3, 4), torch.tensor([0, 65_535, 151_935]))
    assert part.entries()[1].tolist() == [0, 65_535, 151_935]


def test_tokens_that_the_base_does_not_have_are_not_read() -> None:
    part = NearestPart(1, 4, top_k=1, weight=0.5)
    part.write(torch.ones(1, 4), torch.tensor([99]))
    assert part(torch.ones(1, 4), torch.zeros(1, 9)).shape == (1, 9)


def test_the_memory_holds_the_contexts_of_the_trained_tokens(stack: ModuleStack, begin: Any) -> None:
    known = contexts(stack, 3)
    begin(stack, "knn_lm", {**OPTIONS, "capacity": 100}, "one", encoded(3))
    keys, tokens = memory(stack, "one").entries()
    assert tokens.tolist() == [token for _, token in known]
    torch.testing.assert_close(keys, torch.stack([key for key, _ in known]))
    nearest_other = (torch.cdist(keys, keys) + 1e9 * torch.eye(len(keys))).amin(1).square()
    torch.testing.assert_close(memory(stack, "one").temperature.exp()[0], nearest_other.mean(), rtol=1e-3, atol=0)


def test_a_full_memory_keeps_some_of_every_phase(stack: ModuleStack, run_phase: RunPhase, begin: Any) -> None:
    first = run_phase(stack, "knn_lm", "one", OPTIONS, encoded(3))
    assert isinstance(first, KnnLm)
    number = len(contexts(stack, 3))
    assert int(stack.method_tensors("one")["seen"]) == number > 12
    begin(stack, "knn_lm", OPTIONS, "second", encoded(5))
    kept = set(memory(stack, "second").entries()[1].tolist())
    old, new = ({token for _, token in contexts(stack, seed)} for seed in (3, 5))
    assert kept <= old | new
    assert kept - new
    assert kept - old
    assert set(memory(stack, "one").entries()[1].tolist()) <= old


def test_steps_train_the_share_and_the_temperature_alone(stack: ModuleStack, run_phase: RunPhase) -> None:
    run_phase(stack, "knn_lm", "one", OPTIONS, encoded(3))
    share = memory(stack, "one").weight.sigmoid().item()
    assert share < 0.25  # random tokens: what followed the nearest context is never right


def test_bad_options_and_a_lost_count(stack: ModuleStack, run_phase: RunPhase, begin: Any) -> None:
    for options, said in (
        ({"capacity": 0}, "nearest capacity 0 is too small"),
        ({"top_k": 0}, "nearest top_k 0 is too small"),
        ({"weight": 1.0}, "nearest weight 1.0 is not a share"),
    ):
        with pytest.raises(GrowlmError, match=said):
            module_kinds.build("nearest", options)
    run_phase(stack, "knn_lm", "one", OPTIONS, encoded(3))
    stack._method_tensors["one"] = {}
    with pytest.raises(GrowlmError, match="module 'one' keeps no count of knn_lm"):
        begin(stack, "knn_lm", OPTIONS, "second", encoded(5))
