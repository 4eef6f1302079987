"""Attention as matrix products beside torch's own kernel."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from growlm.base.attention import MATMUL, matmul_on_cpu
from growlm.modules.block import Block
from growlm.stack.stack import ModuleStack


def build(attention: str, heads: int, shared: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=heads,
        num_key_value_heads=heads // shared, attn_implementation=attention,
    )  # fmt: skip
    return LlamaForCausalLM(config)


@pytest.mark.parametrize("shared", [1, 2])
@pytest.mark.parametrize("length", [20, 300])  # within a block of queries, and more than one
def test_outputs_and_gradients_are_those_of_sdpa(length: int, shared: int) -> None:
    ids = torch.randint(50, (2, length), generator=torch.Generator().manual_seed(1))
    positions = torch.cat([torch.arange(7), torch.arange(length - 7)]).repeat(2, 1)  # two documents in each row
    results = []
    for attention in ("sdpa", MATMUL):
        model = build(attention, heads=4, shared=shared)
        logits = model(ids, position_ids=positions, use_cache=False).logits
        logits.square().mean().backward()
        results.append([logits.detach(), *(parameter.grad for parameter in model.parameters())])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_a_document_sees_nothing_of_the_one_before() -> None:
    model = build(MATMUL, heads=4, shared=1)
    ids = torch.randint(50, (1, 20), generator=torch.Generator().manual_seed(1))
    positions = torch.cat([torch.arange(7), torch.arange(13)])[None]
    other = ids.clone()
    other[0, :7] += 1
    first, second = (model(one % 50, position_ids=positions, use_cache=False).logits[0, 7:] for one in (ids, other))
    assert torch.equal(first, second)


def test_generation_with_a_cache_is_that_of_sdpa() -> None:
    ids = torch.randint(50, (1, 5), generator=torch.Generator().manual_seed(1))
    answers = [
        build(attention, heads=4, shared=1).eval().generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
        for attention in ("sdpa", MATMUL)
    ]
    assert torch.equal(*answers)


def test_dropout_is_for_training_alone() -> None:
    model = build(MATMUL, heads=4, shared=1)
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    ids = torch.arange(20)[None]
    assert not torch.equal(model.train()(ids).logits, model(ids).logits)
    assert torch.equal(model.eval()(ids).logits, model(ids).logits)


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3", "smollm3", "gpt2"])
def test_a_block_of_every_family_runs_on_it_and_computes_the_same(tiny_bases: dict[str, Path], family: str) -> None:
    stack = ModuleStack.from_base(str(tiny_bases[family]))
    stack.attach("new", {"block": Block(num_blocks=1)})

    def run() -> Tensor:
        return stack.hidden_states(torch.arange(30).reshape(2, 15), torch.tensor([[0] * 5 + [1] * 10, [1] * 15]))

    before = run()
    with matmul_on_cpu(stack.base):
        is_matmul = {layer.config._attn_implementation for layer in stack.base.modules() if hasattr(layer, "config")}
        assert is_matmul == {"sdpa" if family.startswith("gpt") else MATMUL}
        torch.testing.assert_close(run()[:, 5:], before[:, 5:], rtol=1e-4, atol=1e-5)
    assert torch.equal(run(), before)
