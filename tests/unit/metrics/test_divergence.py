"""KL from the bare base, by hand on three tokens, and on documents against a sum over tokens."""

import math
from typing import Any

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.metrics.divergence import divergence, text_divergence

TEXTS = ["the cat sat", "a big red box", "Tom said hello to Lily"]


def test_by_hand():
    reference = torch.tensor([[0.5, 0.25, 0.25], [1.0, 1.0, 2.0]]).log()
    model = torch.tensor([[0.25, 0.5, 0.25], [1.0, 1.0, 2.0]]).log()
    expected = 0.5 * math.log(2) + 0.25 * math.log(0.5)
    assert divergence(reference, model).tolist() == pytest.approx([expected, 0.0], abs=1e-6)


def test_what_the_reference_leaves_out_does_not_count():
    reference = torch.tensor([[0.0, 0.0, -math.inf]])
    assert float(divergence(reference, torch.zeros(1, 3))) == pytest.approx(math.log(3 / 2))


@pytest.fixture
def moved(new_stack: Any) -> Any:
    """A stack with a module that changes what the base says."""
    return new_stack(modules=("one",))


def test_documents_against_a_sum_over_tokens(moved: Any):
    nats, count = 0.0, 0
    for text in TEXTS[:2]:
        start, end = moved.tokenizer.bos_token_id, moved.tokenizer.eos_token_id
        ids = [start, *moved.tokenizer(text, add_special_tokens=False)["input_ids"], end]
        with torch.no_grad():
            with moved.active():
                base = moved(input_ids=torch.tensor([ids])).logits[0, :-1].softmax(-1)
            with moved.active("one"):
                own = moved(input_ids=torch.tensor([ids])).logits[0, :-1].softmax(-1)
        nats += float((base * (base / own).log()).sum())
        count += len(ids) - 1
    assert nats > 0.01, "the module changes nothing"
    found = text_divergence(moved, TEXTS[:2], [("one",), ("one",)])
    assert found == pytest.approx(nats / count, rel=1e-4)


def test_documents_on_the_bare_base_count_with_zero(moved: Any):
    paths: list[tuple[str, ...]] = [("one",), (), ()]
    alone = text_divergence(moved, TEXTS[:1], paths[:1])
    lengths = [len(moved.tokenizer(text, add_special_tokens=False)["input_ids"]) + 1 for text in TEXTS]
    assert text_divergence(moved, TEXTS, paths) == pytest.approx(alone * lengths[0] / sum(lengths))
    assert text_divergence(moved, TEXTS, [()] * 3) == 0.0
    with pytest.raises(GrowlmError, match="no document holds any"):
        text_divergence(moved, [""], [()])
