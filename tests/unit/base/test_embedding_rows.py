"""Rows of an embedding that point in the same direction, and how they are moved apart."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from growlm.base.embedding_rows import (
    describe_twins,
    final_states_moment,
    groups_of_twins,
    rows_with_a_twin,
    separate_rows,
)
from growlm.base.load import load_base

TWINS = [3, 7, 8, 20]


@pytest.fixture
def base() -> LlamaForCausalLM:
    """A tied model whose rows ``TWINS`` are one vector, nearly."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config).requires_grad_(False)
    weight = model.get_input_embeddings().weight
    weight[TWINS] = weight[3] + 0.001 * torch.randn(4, 32)
    return model


def test_rows_that_point_in_the_same_direction_are_found(base: LlamaForCausalLM) -> None:
    weight = base.get_input_embeddings().weight.clone()
    weight[8] *= 5  # the length does not matter
    assert rows_with_a_twin(weight).nonzero().flatten().tolist() == TWINS


def test_only_chosen_tokens_are_grouped(base: LlamaForCausalLM) -> None:
    weight = base.get_input_embeddings().weight.clone()
    weight[31] = weight[30]
    assert groups_of_twins(weight, [1, 31, 8, 3, 20, 30]) == [[8, 3, 20], [31, 30]]
    assert groups_of_twins(weight, [1, 3, 30]) == []


def test_a_chain_of_twins_is_one_group() -> None:
    angles = torch.tensor([0.0, 0.15, 0.3, 1.5])  # the cosine of 0.15 is 0.989, that of 0.3 is 0.955
    assert groups_of_twins(torch.stack([angles.cos(), angles.sin()], 1), [0, 1, 2, 3]) == [[0, 1, 2]]


def test_many_twins_are_named_in_one_line() -> None:
    class Tokenizer:
        def decode(self, tokens: list[int]) -> str:
            return "abcdefghij"[tokens[0]]

    assert describe_twins(Tokenizer(), [[0, 1, 2], [3, 4]], limit=2) == "'a' 'b' (and 1 more); 'd' 'e'"
    assert describe_twins(Tokenizer(), [[0, 1], [3, 4]], limit=1) == "'a' (and 1 more); and 1 more group"


def test_rows_are_moved_apart_where_the_states_have_least_energy(base: LlamaForCausalLM) -> None:
    before = base.get_input_embeddings().weight.clone()
    directions = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(1)))[0]
    energies = torch.cat([torch.full((16,), 1e-3), torch.ones(16)])
    moment = (directions * energies) @ directions.T
    assert separate_rows(base, moment.double(), seed=0) == len(TWINS)
    after = base.get_input_embeddings().weight
    assert not rows_with_a_twin(after.bfloat16()).any()
    moved = (after - before).norm(dim=1)
    assert (moved > 0).nonzero().flatten().tolist() == TWINS
    loud = directions[:, 16:]
    torch.testing.assert_close((after - before) @ loud, torch.zeros(60, 16), atol=1e-6, rtol=0)
    assert base.lm_head.weight is base.get_input_embeddings().weight


def test_the_moment_is_that_of_the_final_states(base: LlamaForCausalLM) -> None:
    batches = [{"input_ids": torch.randint(60, (2, 9), generator=torch.Generator().manual_seed(i))} for i in range(2)]
    states = torch.cat([base.model(**batch).last_hidden_state.flatten(0, 1) for batch in batches]).double()
    torch.testing.assert_close(final_states_moment(base, batches), states.T @ states)


@pytest.mark.parametrize("name", ["nano", "mini", "tinystories-50m"])
def test_no_row_of_a_shipped_base_has_a_twin(name: str) -> None:
    assert not rows_with_a_twin(load_base(name).get_input_embeddings().weight).any()
